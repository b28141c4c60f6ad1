"""The run directory: files written atomically, read without executing anything, and how a run is resumed from them."""
