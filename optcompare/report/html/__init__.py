"""The report page, and a result as a notebook shows it."""
