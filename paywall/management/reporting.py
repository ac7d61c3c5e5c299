"""What commands share that look at things and say how they are."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
from django.core.management.base import BaseCommand, CommandError

from paywall.findings import Finding, Grade

if TYPE_CHECKING:
    from argparse import ArgumentParser

TIMEOUT = 20.0


def require_url(text: str) -> None:
    """Raise `CommandError` for what is typed and is no URL of the web."""
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise CommandError("A URL begins with http:// or https:// and a host.")


class FindingsCommand(BaseCommand):
    """Prints what was found, and exits with 1 if something fails."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="For a program.")

    def client(self) -> httpx.Client:
        """Who asks a live URL."""
        return httpx.Client(timeout=TIMEOUT, follow_redirects=False)

    def report(self, found: list[Finding], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps([finding.json() for finding in found]))
        else:
            self._tell(found)
        if any(finding.grade == Grade.FAIL for finding in found):
            sys.exit(1)

    def _tell(self, found: list[Finding]) -> None:
        styles = {Grade.OK: self.style.SUCCESS, Grade.NOTE: self.style.WARNING}
        for finding in found:
            style = styles.get(finding.grade, self.style.ERROR)
            self.stdout.write(f"{style(f'{finding.grade:<5}')} {finding.what}")
            if finding.todo:
                self.stdout.write(f"      {finding.todo}")
