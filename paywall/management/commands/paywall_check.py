"""`manage.py paywall_check URL`: what programs, people and other sites' pages see of it, unpaid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
from django.core.management.base import CommandError

from paywall.management.reporting import FindingsCommand, require_url
from paywall.reports import lint

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(FindingsCommand):
    help = (
        "Ask a live URL for its price in every dialect, and say what would keep buyers away. "
        "Nothing is paid. Exits with 1 if something fails."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url")
        parser.add_argument("--origin", default="", help="Also as a page of https://app.example")
        super().add_arguments(parser)

    def handle(self, *args: Any, url: str, origin: str, **options: Any) -> None:
        require_url(url)
        with self.client() as client:

            def fetch(method: str, headers: dict[str, str]) -> httpx.Response:
                return client.request(method, url, headers=headers)

            try:
                found = list(lint.check(url, fetch, origin))
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                text = f"{url} cannot be reached: {type(error).__name__}."
                raise CommandError(text, returncode=2) from error
        self.report(found, as_json=options["json"])
