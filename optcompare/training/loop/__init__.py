"""One trial at a time, a plain loop: the reference that lanes are held to."""
