"""A small magazine that sells articles and an API."""
