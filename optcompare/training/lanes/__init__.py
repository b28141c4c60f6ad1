"""Many trials side by side as one program, held to the loop."""
