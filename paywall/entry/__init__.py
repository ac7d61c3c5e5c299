"""One request: read `gate.through` from top to bottom."""
