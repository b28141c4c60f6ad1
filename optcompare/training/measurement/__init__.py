"""What is measured of a trial, outside its training clock."""
