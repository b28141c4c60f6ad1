"""Checks that a run directory holds what the run would give again, and that plugins keep their contracts."""
