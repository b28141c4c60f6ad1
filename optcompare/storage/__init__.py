"""The run directory: written atomically, read without executing anything, and resumed."""
