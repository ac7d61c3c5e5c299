"""What may be typed into the fields of resources and accounts."""

from __future__ import annotations

import re
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

from paywall import conf, interface

validate_currency = RegexValidator(
    r"\A[A-Z]{3}\Z", _("Three capital letters, as in ISO 4217: USD, EUR.")
)


_SEGMENT = re.compile(r"[^/?#\s]+")
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


def validate_path(value: str) -> None:
    """A path rule: segments, `*` in or as one of them, `**` for any number of them."""
    segments = value.removeprefix("/").removesuffix("/").split("/")
    good = value.startswith("/") and all(map(_SEGMENT.fullmatch, segments))
    if not good or any("**" in s and s != "**" for s in segments):
        raise ValidationError(
            _("A path begins with / and has no query; ** stands for segments of its own.")
        )


def validate_methods(value: str) -> None:
    """HTTP methods with commas between; HEAD goes with GET."""
    names = [name.strip() for name in value.split(",")]
    if not set(names) <= _METHODS:
        raise ValidationError(_("Of GET, POST, PUT, PATCH and DELETE, with commas between."))


def validate_hook(name: str) -> None:
    """The name of a function that the settings know."""
    if name and name not in conf.get().audiences:
        raise ValidationError(
            _("“%(name)s” is not in PAYWALL['AUDIENCES']."), params={"name": name}
        )


def validate_interface(said: Any) -> None:
    """What a resource takes and gives, as `paywall.interface` has it."""
    try:
        interface.read(said)
    except ValueError as error:
        raise ValidationError(str(error)) from error


def validate_facilitators(names: str) -> None:
    """Names of facilitators that the settings know, with commas between."""
    known = conf.get().remotes()
    for name in filter(None, map(str.strip, names.split(","))):
        if name not in known:
            raise ValidationError(
                _("“%(name)s” is not in PAYWALL['FACILITATORS']."), params={"name": name}
            )
