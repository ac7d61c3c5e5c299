"""Views of every kind, and URLs of every spelling, for the tests of the doors."""
