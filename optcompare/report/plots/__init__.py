"""Draws tables that were computed before; a function returns its figure and neither shows nor saves it."""
