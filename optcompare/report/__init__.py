"""From saved records to figures, tables and pages; nothing here trains, and nothing here imports torch."""
