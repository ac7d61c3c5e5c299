"""Who asks: a browser, a signed-in user, a wallet; and from which network."""

from .cookies import browser, hand, hash_of, secret_of
from .networks import address_of, network_of
from .users import counted_as, user_id
from .wallets import wallet_of

__all__ = [
    "address_of",
    "browser",
    "counted_as",
    "hand",
    "hash_of",
    "network_of",
    "secret_of",
    "user_id",
    "wallet_of",
]
