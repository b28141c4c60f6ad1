"""Check that a run directory can be reproduced, and that plugins keep their contracts."""
