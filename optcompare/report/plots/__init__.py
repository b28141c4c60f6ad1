"""Figures: each function takes computed tables and draws; none computes, shows or saves."""
