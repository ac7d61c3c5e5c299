"""`manage.py paywall_doctor`: all that stops money, and what to do about it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import httpx

from paywall.exceptions import LedgerUnavailable
from paywall.findings import Finding, fail
from paywall.management.reporting import FindingsCommand
from paywall.reports import doctor, lint

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator


class Command(FindingsCommand):
    help = (
        "Look at everything that money goes through: settings, database, worker, broker, prices, "
        "nodes, tokens, clocks, gas and who settles. Nothing is paid. Exits with 1 if something "
        "stops money."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--live", metavar="URL", default="", help="Also what buyers see of a URL that is sold."
        )
        parser.add_argument(
            "--origin", default="", help="With --live: can a page of that other site pay it?"
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, live: str, **options: Any) -> None:
        found = [*doctor.examine(), *(self._live(live, options["origin"]) if live else ())]
        with contextlib.suppress(LedgerUnavailable):  # it is said: the database is not ready
            doctor.keep(found, live=live)
        self.report(found, as_json=options["json"])

    def _live(self, url: str, origin: str) -> Iterator[Finding]:
        with self.client() as client:

            def fetch(method: str, headers: dict[str, str]) -> httpx.Response:
                return client.request(method, url, headers=headers)

            try:
                yield from lint.check(url, fetch, origin)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                what = f"{url} cannot be reached: {type(error).__name__}"
                yield fail(what, "Is the site up, and reachable from here?")
