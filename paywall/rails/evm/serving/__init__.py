"""This site as a facilitator for others: what is asked, and what is answered."""
