"""From a question to a comparison that can be trained: resolved, tried on a few rows, checked."""
