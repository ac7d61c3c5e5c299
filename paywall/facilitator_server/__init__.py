"""This site as the facilitator of others."""
