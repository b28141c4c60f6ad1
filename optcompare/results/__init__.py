"""What a comparison measured, as data and tables; results of several runs merged."""
