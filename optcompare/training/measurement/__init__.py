"""Measure trials, outside their training clock."""
