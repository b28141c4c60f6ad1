"""A comparison's result: what was measured, and the tables made of it."""
