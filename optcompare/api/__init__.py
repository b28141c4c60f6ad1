"""What Python calls: compare() and batch_size_study()."""
