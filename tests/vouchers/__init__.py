"""A rail without any chain, a protocol and a way in, as a site would add them by its settings."""
