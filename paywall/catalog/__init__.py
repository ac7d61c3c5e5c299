"""What is sold, to whom, and for how much."""
