"""Cards, by Stripe: an order, a hosted checkout, and webhooks that tell of its money."""
