"""Play money, for a site that is being built: no chain, no node, no facilitator, no wallet."""
