"""The Python interface: compare() and batch_size_study()."""
