"""What a person can pay with on the page: one class and one template each.

    PAYWALL = {"PAYMENT_METHODS": ["site.checkout.Invoice"]}

Each is a `<section data-paywall-way="name">` of the page, in the order of the rails and then of the
settings. A method that needs a script names an ES module; the page's own script loads it and calls
its default export with the section and the checkout (docs/readers.md).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from paywall import conf, extensions
from paywall.rails import registry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.http import HttpRequest

    from paywall.catalog.offers import ForSale
    from paywall.ledger import Purpose
    from paywall.models import Order


@dataclass(frozen=True, slots=True)
class Purchase:
    """What a person is asked to pay for."""

    request: HttpRequest
    sale: ForSale
    """As it is sold to this person."""
    url: str
    """Where it is bought: absolute."""
    ticket: str
    """The same, signed: what the paywall's own forms send along."""


class PaymentMethod(ABC):
    """One way in which a person pays."""

    name: ClassVar[str]
    """As it stands in `data-paywall-way`."""
    template: ClassVar[str]
    """Renders the inside of the section."""
    script: ClassVar[str] = ""
    """A static file: an ES module."""
    needs_script: ClassVar[bool] = False
    """Without JavaScript it is not shown."""

    @abstractmethod
    def context(self, purchase: Purchase) -> Mapping[str, Any] | None:
        """What the template needs, and under `data` what its script does (JSON); None if this
        cannot be paid so. With `comes_last` it stands below the others. Makes no order: the page
        is made for whoever comes by."""


@dataclass(frozen=True, slots=True)
class Start:
    """Somebody pressed a button that makes an order."""

    request: HttpRequest
    sale: ForSale
    """As it is sold to this person."""
    purpose: Purpose
    """For whom, and at which URL."""
    user_id: Any
    choice: int
    """Which of the method's choices."""


class Started(NamedTuple):
    """An order, and where it is paid."""

    order: Order
    url: str = ""
    """Somebody else's page, where the buyer goes on; "" where the order's own page says how."""


class Named(NamedTuple):
    """What came of naming a payment."""

    is_found: bool
    told: str
    """A sentence for the buyer."""


@runtime_checkable
class TakesOrders(Protocol):
    """A method's ability: what it takes is paid outside of the request."""

    order_template: ClassVar[str]
    """Renders an order: how it is paid, or what became of it."""

    def start(self, start: Start) -> Started:
        """Make an order, or go on with one. Raises `Refused`, `Unavailable`."""
        ...

    def shows(self, order: Order) -> Mapping[str, Any] | None:
        """What the template needs of an order; None if it is another method's."""
        ...

    def look(self, order: Order) -> None:
        """Look for its money now: the buyer waits. Never raises for what is elsewhere."""
        ...

    def named(self, order: Order, payment: str) -> Named:
        """The buyer says which payment is the order's."""
        ...


@runtime_checkable
class TakesPeople(Protocol):
    """A rail's ability: people pay on it, by these methods."""

    def payment_methods(self) -> Sequence[PaymentMethod]: ...


PAID_AHEAD = ("paywall.checkout.balance.FromBalance", "paywall.checkout.balance.Bundle")
"""Methods of ours that are no rail's; they know this module, and are known to it by name."""


@conf.kept
def all_() -> tuple[PaymentMethod, ...]:
    """Every method. Raises `ImproperlyConfigured`, naming the setting."""
    paid_ahead = extensions.made("PAYMENT_METHODS", PAID_AHEAD, PaymentMethod)
    ours = [method for rail in registry.who_can(TakesPeople) for method in rail.payment_methods()]
    more = extensions.by_name("PAYMENT_METHODS", conf.get().payment_methods, PaymentMethod)
    return (*paid_ahead, *ours, *more.values())
