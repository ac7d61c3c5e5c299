"""The ways in which money moves, and is proven to have moved."""
