"""How a payment travels over HTTP."""
