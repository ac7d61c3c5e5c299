"""What is personal, and how it goes."""
