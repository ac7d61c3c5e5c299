"""For a site's own tests: pages that are sold, bought by a client that pays, with no network.

    def test_the_report_is_sold(paid_client):
        assert paid_client.get("/report/").status_code == 200

`paid_client`, `paywall_facilitator` and `freeze_chain` are fixtures of a plug-in that pytest finds
by itself (with pytest-django). `factories` makes rows; a `Buyer` signs and is not a client.
"""

from .buyer import (
    PERMIT2,
    PROXY_UP_TO,
    TYPES,
    UP_TO_TYPES,
    Buyer,
    challenge_of,
    encode,
    mpp_challenge_of,
    outcome_of,
)

__all__ = [
    "PERMIT2",
    "PROXY_UP_TO",
    "TYPES",
    "UP_TO_TYPES",
    "Buyer",
    "challenge_of",
    "encode",
    "mpp_challenge_of",
    "outcome_of",
]
