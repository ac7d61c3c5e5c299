"""What commands share that are about one person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.management.base import CommandError

from paywall.privacy import people

if TYPE_CHECKING:
    from argparse import ArgumentParser


def add_arguments(parser: ArgumentParser) -> None:
    """Who it is: one of two ways to say so."""
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", help="By the name that they sign in with, or by primary key.")
    who.add_argument("--wallet", help="By the address that paid.")


def named(user: str | None, wallet: str | None) -> people.Person:
    """Who was meant. Raises `CommandError`."""
    try:
        return people.user(user) if user else people.wallet(wallet or "")
    except LookupError as error:
        raise CommandError(str(error)) from error
