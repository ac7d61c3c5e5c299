"""`manage.py paywall_buy URL`: buy as a program does, from this site or any other.

The answer goes to the standard output, everything else beside it. A payment whose outcome is not
known is kept in a file and can be presented again: it is never signed a second time.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from django.core.management.base import BaseCommand, CommandError

from paywall.exceptions import Code
from paywall.logs import plain
from paywall.management.reporting import require_url
from paywall.rails import registry
from paywall.rails.base import Buys
from paywall.secret import Secret

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Mapping

    from paywall.rails.base import Bid

KEY = "PAYWALL_BUYER_KEY"
TIMEOUT = httpx.Timeout(15.0, read=90.0)
"""Seconds. Who sells may settle before it answers."""
PAUSES = (1.0, 2.0, 4.0)
"""Seconds before a payment without an outcome is presented again."""

REFUSED, UNREACHABLE, UNKNOWN = 1, 2, 3
"""Exit codes: nothing was paid; nobody answers; not known whether it was paid, or for what."""

WAIT = (409, 425, 429)
"""Statuses that refuse nothing yet."""

TOLD = ("PAYMENT-RESPONSE", "Payment-Receipt", "Link")
"""Response headers that say what became of a payment."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is bought."""

    method: str
    url: str
    headers: dict[str, str]
    body: str = ""

    def send(self, client: httpx.Client, payment: Mapping[str, str]) -> httpx.Response:
        headers = {**self.headers, **payment}
        return client.request(self.method, self.url, headers=headers, content=self.body or None)


class Command(BaseCommand):
    help = (
        "Buy from a URL that answers 402, by x402 or MPP: shows what it asks for, asks you, pays "
        f"with the wallet whose key is in ${KEY}, and prints the answer. Exits with 1 if nothing "
        "was paid, 2 if nobody answers, 3 if the outcome or the answer is not known (see --again)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url", nargs="?", default="")
        parser.add_argument("--max", metavar="0.05", help="The most to pay, in whole coins.")
        parser.add_argument("--yes", action="store_true", help="Do not ask. Needs --max.")
        parser.add_argument("--protocol", choices=["x402", "mpp"])
        parser.add_argument("--method", default="GET")
        parser.add_argument("--header", action="append", default=[], metavar="'Name: value'")
        parser.add_argument("--data", default="", help="The request's body.")
        parser.add_argument("--again", type=Path, metavar="FILE", help="Present a kept payment.")
        parser.add_argument("--json", action="store_true", help="For a program.")

    def handle(self, *args: Any, url: str, again: Path | None, **options: Any) -> None:
        self._as_json = options["json"]
        with self.client() as client:
            if again is not None:
                self._present(client, *_kept(again), kept=again)
                return
            require_url(url)
            request = Request(options["method"].upper(), url, _headers(options), options["data"])
            most = _most(options)
            try:
                unpaid = request.send(client, {})
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                text = f"{url} cannot be reached: {type(error).__name__}."
                raise CommandError(text, returncode=UNREACHABLE) from error
            if unpaid.is_success:
                self._report(unpaid, "nothing to pay")
                return
            if unpaid.status_code != 402:
                text = f"It answers {unpaid.status_code}, {_why(unpaid)}"
                raise CommandError(text, returncode=REFUSED)
            bid = self._choose(
                _bids(unpaid, self.key(), options["protocol"]), most, ask=not options["yes"]
            )
            try:
                payment = bid.pay()
            except Exception as error:
                # The official clients refuse in many ways; nothing has left yet.
                text = f"It cannot be signed ({type(error).__name__}). Nothing was paid."
                raise CommandError(text, returncode=REFUSED) from error
            self._present(client, request, payment)

    def client(self) -> httpx.Client:
        """Who asks. A payment follows no redirect."""
        return httpx.Client(timeout=TIMEOUT, follow_redirects=False)

    def key(self) -> Secret:
        """Of the wallet that pays."""
        key = os.environ.get(KEY, "")
        if not key:
            raise CommandError(f"Put the private key of the wallet that pays into ${KEY}.")
        return Secret(key)

    # ---------------------------------------------------------------------- Deciding

    def _choose(self, bids: list[Bid], most: Decimal | None, *, ask: bool) -> Bid:
        """Raises `CommandError` if none is to be paid."""
        if not bids:
            raise CommandError("It asks for nothing that this wallet can pay.", returncode=REFUSED)
        for number, bid in enumerate(bids, 1):
            much = most is not None and bid.amount > most
            self._tell(f"{number}. {bid.text} ({bid.protocol}){' - too much' if much else ''}")
        good = [bid for bid in bids if most is None or bid.amount <= most]
        if not good:
            raise CommandError(f"It costs more than {most}.", returncode=REFUSED)
        if not ask:
            return good[0]
        first = bids.index(good[0]) + 1
        self._tell(f"Which shall be paid? [{first}, or n for none] ", end="")
        answer = sys.stdin.readline()
        text = answer.strip() or str(first)
        chosen = bids[int(text) - 1] if text.isdecimal() and 0 < int(text) <= len(bids) else None
        if not answer or chosen not in good:
            raise CommandError("Nothing was paid.", returncode=REFUSED)
        return chosen

    # ----------------------------------------------------------------------- Paying

    def _present(
        self,
        client: httpx.Client,
        request: Request,
        payment: dict[str, str],
        kept: Path | None = None,
    ) -> None:
        """Present a payment until its outcome is known, or keep it.

        A refusal is final if it is the first answer. Later it may mean that an earlier one was
        paid, and its answer lost.
        """
        trouble = "" if kept is None else "kept"
        kept = kept or _keep(request, payment)
        for pause in (*PAUSES, None):
            try:
                paid = request.send(client, payment)
            except httpx.HTTPError as error:
                trouble = type(error).__name__
            else:
                if paid.is_success:
                    kept.unlink()
                    self._report(paid, "paid")
                    return
                problem = _problem(paid)
                if problem.get("code") == Code.ALREADY_USED:
                    kept.unlink()
                    receipt = problem.get("receipt", "its receipt is with the site")
                    raise CommandError(
                        f"It was paid, and delivered in an answer that was lost: {receipt}",
                        returncode=UNKNOWN,
                    )
                is_refused = paid.is_client_error and paid.status_code not in WAIT
                if is_refused and not trouble:
                    kept.unlink()
                    self._report(paid, "refused")
                    raise CommandError(f"Refused: {_why(paid)}", returncode=REFUSED)
                trouble = f"{paid.status_code}, {_why(paid)}"
                if is_refused:
                    break
            if pause is not None:
                self._tell(f"No outcome yet ({trouble}): presenting the same payment again.")
                time.sleep(pause)
        raise CommandError(
            f"It is not known whether it was paid ({trouble}). Do not pay anew: the same payment "
            f"can be presented again by: paywall_buy --again {kept}",
            returncode=UNKNOWN,
        )

    def _report(self, response: httpx.Response, what: str) -> None:
        told = {name: response.headers[name] for name in TOLD if name in response.headers}
        outcome = _outcome(response)
        if self._as_json:
            found = {
                "outcome": what,
                "status": response.status_code,
                "headers": dict(response.headers),
                "payment": outcome,
                "body": response.text,
            }
            self.stdout.write(json.dumps(found))
            return
        self._tell(f"{response.status_code}, {what}")
        for name, value in told.items():
            self._tell(f"{name}: {plain(value)}")
        for name, value in outcome.items():
            self._tell(f"  {plain(name)}: {plain(value)}")
        self.stdout.write(response.text)

    def _tell(self, text: str, end: str = "\n") -> None:
        """For people, beside what was bought."""
        self.stderr.write(text, style_func=str, ending=end)
        self.stderr.flush()


def _bids(unpaid: httpx.Response, key: Secret, protocol: str | None) -> list[Bid]:
    found: list[Bid] = []
    for rail in registry.who_can(Buys):
        try:
            found += rail.bids(unpaid, key)
        except ImportError as error:
            raise CommandError("pip install 'django-paywall[buyer]'") from error
        except ValueError as error:
            raise CommandError(f"What is in ${KEY} is no private key.") from error
    return [bid for bid in found if protocol in (None, bid.protocol)]


def _most(options: Mapping[str, Any]) -> Decimal | None:
    text = options["max"]
    if text is None:
        if options["yes"]:
            raise CommandError("Say how much it may cost: --max 0.05")
        return None
    try:
        most = Decimal(text)
    except InvalidOperation:
        most = Decimal("NaN")
    if not most.is_finite() or most <= 0:
        raise CommandError(f"--max is an amount in whole coins, like 0.05, not {text!r}.")
    return most


def _headers(options: Mapping[str, Any]) -> dict[str, str]:
    found = {"Accept": "application/json, */*;q=0.5"}
    for line in options["header"]:
        name, colon, value = line.partition(":")
        if not colon:
            raise CommandError(f"A header is 'Name: value', not {line!r}.")
        found[name.strip()] = value.strip()
    return found


def _keep(request: Request, payment: Mapping[str, str]) -> Path:
    """Written before it is sent, for its owner's eyes alone."""
    text = json.dumps({"request": asdict(request), "payment": dict(payment)})
    name = hashlib.sha256(text.encode()).hexdigest()[:12]
    path = Path(f"paywall-payment-{name}.json")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    return path


def _kept(path: Path) -> tuple[Request, dict[str, str]]:
    try:
        found = json.loads(path.read_text())
        return Request(**found["request"]), found["payment"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{path} is no payment that was kept.") from error


def _why(response: httpx.Response) -> str:
    problem = _problem(response)
    words = problem.get("code", ""), problem.get("detail") or problem.get("title") or ""
    return plain(": ".join(str(word) for word in words if word) or response.reason_phrase)


def _problem(response: httpx.Response) -> dict[str, Any]:
    """RFC 9457's, or nothing."""
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _outcome(response: httpx.Response) -> dict[str, Any]:
    """What x402 says became of the payment."""
    try:
        found = json.loads(base64.b64decode(response.headers["PAYMENT-RESPONSE"]))
    except (KeyError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
