"""Whether a run directory holds what the run would give again, and whether plugins keep their contracts."""
