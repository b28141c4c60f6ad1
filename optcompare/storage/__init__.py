"""The run directory: written atomically, read without executing anything; provenance, and what a resumed run
takes up.
"""
