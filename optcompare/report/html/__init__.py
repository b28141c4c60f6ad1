"""The page and the notebook's view of a result."""
