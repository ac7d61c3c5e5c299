"""What machines may do with what is sold: for headers and documents. Read with the rules for
visitors, and kept as long."""

from __future__ import annotations

from dataclasses import dataclass, field

from paywall import durable
from paywall.models import UsageTerms


@dataclass(frozen=True, slots=True)
class Terms:
    """Of one resource, or of all."""

    permits: str
    prohibits: str
    compensation: str
    agreement_url: str
    terms_url: str
    by_token: bool
    preferences: str
    """`Content-Usage` (draft-ietf-aipref-attach)."""


@dataclass(frozen=True, slots=True)
class AllTerms:
    """Those of the whole site, and of single resources."""

    everywhere: Terms | None = None
    by_resource: dict[int, Terms] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.everywhere is not None or bool(self.by_resource)

    def of(self, resource_id: int) -> Terms | None:
        return self.by_resource.get(resource_id, self.everywhere)


class _Known:
    terms = AllTerms()


def last() -> AllTerms:
    """The terms that were read last, however old. No query."""
    return _Known.terms


def load() -> AllTerms:
    """The terms from the database."""
    _Known.terms = _read()
    return _Known.terms


@durable.read
def _read() -> AllTerms:
    rows = UsageTerms.objects.using(durable.alias()).filter(active=True)
    everywhere, by_resource = None, {}
    for row in rows:
        terms = of_row(row)
        if row.resource_id is None:
            everywhere = terms
        else:
            by_resource[row.resource_id] = terms
    return AllTerms(everywhere, by_resource)


def of_row(row: UsageTerms) -> Terms:
    """As they are told."""
    preferences = {"train-ai": row.train_ai, "search": row.search}
    return Terms(
        row.permits,
        row.prohibits,
        row.compensation,
        row.agreement_url,
        row.terms_url,
        row.by_token,
        ", ".join(f"{name}={said}" for name, said in preferences.items() if said),
    )
