"""Public ids: who has one has what it names."""

from __future__ import annotations

import secrets


def unguessable() -> str:
    """Nearly 128 bits of chance, safe in a URL. It begins with a letter or a digit: what begins
    with a dash is an option to a command, and a formula to a spreadsheet."""
    while True:
        made = secrets.token_urlsafe(16)
        if made[0].isalnum():
            return made
