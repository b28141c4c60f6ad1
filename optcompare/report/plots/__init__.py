"""Draw tables that were computed before; functions return a figure, and do not show or save it."""
