"""Stripe's API, by its own package: who is asked, and what an answer or an error proves."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

from paywall import conf
from paywall.rails.base import Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from stripe import StripeClient

log = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUT = (5, 20)
"""Seconds to reach Stripe, and to wait for its answer."""

RETRIES = 1
"""Of the package's own: with our idempotency keys, nothing is done twice by them."""


class NotTaken(Exception):
    """Stripe understood, and did not do it: asking again changes nothing."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def is_set_up() -> bool:
    """Whether the settings name a key, and the package is installed."""
    return conf.get().cards() is not None and _package() is not None


def _package() -> Any:
    try:
        import stripe
    except ImportError:
        return None
    return stripe


@conf.kept
def _client() -> StripeClient:
    stripe, cards = _package(), conf.get().cards()
    if stripe is None or cards is None:
        raise Unreachable("PAYWALL['STRIPE'] has no key, or django-paywall[stripe] is missing")
    client: StripeClient = stripe.StripeClient(
        cards.api_key.reveal(),
        base_addresses={"api": cards.api_base} if cards.api_base else {},
        max_network_retries=RETRIES,
        http_client=stripe.RequestsClient(timeout=TIMEOUT),
    )
    return client


def ask(call: Callable[[StripeClient], T]) -> T:
    """What a call of the API answers.

    Raises `Unreachable` where that is not known (no connection, an error of Stripe's own, a key
    that does not work): it may have been done. Raises `NotTaken` where it certainly was not.

    The package makes a `CardError` of every 402, whatever it is about, and an `APIError` of 409,
    so it is the error's own type that counts (stripe-python, `_api_requestor.py`).
    """
    client, stripe = _client(), _package()
    try:
        return call(client)
    except (stripe.CardError, stripe.InvalidRequestError, stripe.IdempotencyError) as error:
        raise NotTaken(error.code or "", error.user_message or type(error).__name__) from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        log.error("Stripe does not take the key of PAYWALL['STRIPE']: %s", type(error).__name__)
        raise Unreachable(type(error).__name__) from error
    except stripe.StripeError as error:
        raise Unreachable(type(error).__name__) from error


def plain(found: Any) -> dict[str, Any]:
    """An object of the API as a dict."""
    told: dict[str, Any] = found.to_dict()
    return told
