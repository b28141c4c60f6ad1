"""Results of a comparison as data and tables, and results of several merged runs."""
