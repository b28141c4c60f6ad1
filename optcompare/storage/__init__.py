"""The run directory: atomic writing, reading without executing anything, and resuming."""
