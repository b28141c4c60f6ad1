"""Train one trial at a time, as a plain loop does: the reference for lanes."""
