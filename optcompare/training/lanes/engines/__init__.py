"""What runs a traced program faster than torch does operation by operation."""
