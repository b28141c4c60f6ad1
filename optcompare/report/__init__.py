"""From saved records to figures, tables and pages. Nothing here trains or imports torch."""
