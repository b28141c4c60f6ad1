"""The run directory: written atomically, read without executing anything, gone on with."""
