"""EVM chains: addresses, EIP-712 and EIP-3009, and a reader of nodes. Knows no Django model."""
