"""`manage.py paywall_check URL`: what programs, people and other sites' pages see of it, unpaid."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from django.core.management.base import BaseCommand, CommandError

from paywall.reports import lint
from paywall.reports.lint import Grade

if TYPE_CHECKING:
    from argparse import ArgumentParser

TIMEOUT = 20.0


class Command(BaseCommand):
    help = (
        "Ask a live URL for its price in every dialect, and say what would keep buyers away. "
        "Nothing is paid. Exits with 1 if something fails."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url")
        parser.add_argument("--origin", default="", help="Also as a page of https://app.example")
        parser.add_argument("--json", action="store_true", help="For a program.")

    def handle(self, *args: Any, url: str, origin: str, **options: Any) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise CommandError("A URL begins with http:// or https://.")
        with self.client() as client:

            def fetch(method: str, headers: dict[str, str]) -> httpx.Response:
                return client.request(method, url, headers=headers)

            try:
                found = list(lint.check(url, fetch, origin))
            except httpx.HTTPError as error:
                text = f"{url} cannot be reached: {type(error).__name__}."
                raise CommandError(text, returncode=2) from error
        if options["json"]:
            self.stdout.write(json.dumps([finding.json() for finding in found]))
        else:
            self._tell(found)
        if any(finding.grade == Grade.FAIL for finding in found):
            sys.exit(1)

    def client(self) -> httpx.Client:
        """Who asks."""
        return httpx.Client(timeout=TIMEOUT, follow_redirects=False)

    def _tell(self, found: list[lint.Finding]) -> None:
        styles = {Grade.OK: self.style.SUCCESS, Grade.NOTE: self.style.WARNING}
        for finding in found:
            style = styles.get(finding.grade, self.style.ERROR)
            self.stdout.write(f"{style(f'{finding.grade:<5}')} {finding.what}")
            if finding.todo:
                self.stdout.write(f"      {finding.todo}")
