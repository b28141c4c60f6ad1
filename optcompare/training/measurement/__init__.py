"""What is measured of a trial along the way, outside its training clock."""
