"""A Stripe that misbehaves when it is told to: Checkout with a hosted page, refunds, disputes,
events and signed webhooks. It checks what it is given before it says yes.

    python -m tests.stripe_double 8430 http://127.0.0.1:8000/paywall/hooks/card/

Wire facts: docs.stripe.com/api, as the official package 16 sends and reads them.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import itertools
import json
import re
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from paywall.testing.servers import serving

KEY = "sk_test_double"
SECRET = "whsec_double"

DECLINES = {
    "tok_declined": "generic_decline",
    "tok_poor": "insufficient_funds",
    "tok_lost": "lost_card",
    "tok_stolen": "stolen_card",
    "tok_fraud": "fraudulent",
}
"""What a card is called, and why its issuer declines it."""

Object = dict[str, Any]


class Wrong(Exception):
    """An error of the API."""

    def __init__(self, status: int, type_: str, message: str, **more: Any) -> None:
        self.status, self.error = status, {"type": type_, "message": message, **more}
        super().__init__(message)


def invalid(message: str, **more: Any) -> Wrong:
    return Wrong(400, "invalid_request_error", message, **more)


@dataclass
class Stripe:
    """Its objects, and what a test tells it to do wrong."""

    url: str = ""
    objects: dict[str, Object] = field(default_factory=dict)
    events: list[Object] = field(default_factory=list)
    asked: list[tuple[str, str, Object]] = field(default_factory=list)
    """Method, path and parameters of each call that the API got."""
    answers: dict[str, tuple[tuple[str, str], int, Object]] = field(default_factory=dict)
    silent_after: list[str] = field(default_factory=list)
    """Parts of paths whose next request is acted on, and whose answer never comes."""
    broken: list[str] = field(default_factory=list)
    """Parts of paths whose next request gets a 500, and nothing is done."""
    errors: list[tuple[int, Object]] = field(default_factory=list)
    """What the next requests are answered, whatever they ask for."""
    is_down: bool = False
    webhook: str = ""
    """Where events go by themselves; "" where a test carries them."""
    numbers: Any = field(default_factory=lambda: itertools.count(1))
    lock: Any = field(default_factory=threading.RLock)

    # ------------------------------------------------------------------------- Objects

    def new(self, prefix: str, kind: str, **values: Any) -> Object:
        id_ = f"{prefix}_{next(self.numbers):06d}{int(time.time())}"
        made = {"id": id_, "object": kind, "created": int(time.time()), "livemode": False, **values}
        self.objects[id_] = made
        return made

    def found(self, id_: str, kind: str) -> Object:
        found = self.objects.get(id_)
        if found is None or found["object"] != kind:
            text = f"No such {kind}: '{id_}'"
            raise Wrong(404, "invalid_request_error", text, code="resource_missing")
        return found

    def expanded(self, found: Object, paths: list[str]) -> Object:
        """A copy, with the objects that are asked for in place of their ids."""
        copy: Object = json.loads(json.dumps(found))
        for path in paths:
            place, names = copy, path.split(".")
            for name in names:
                value = place.get(name)
                if isinstance(value, str):
                    value = place[name] = json.loads(json.dumps(self.objects[value]))
                if not isinstance(value, dict):
                    break
                place = value
        return copy

    def happened(self, kind: str, about: Object) -> Object:
        """An event, as it was when it happened; sent where webhooks go."""
        data = json.loads(json.dumps({"object": about}))
        event = self.new("evt", "event", type=kind, api_version="2026-10-28.endive", data=data)
        self.events.append(event)
        if self.webhook:
            threading.Timer(0.05, self._send, [event]).start()
        return event

    def _send(self, event: Object) -> None:
        body = json.dumps(event).encode()
        headers = {"Content-Type": "application/json", "Stripe-Signature": signature(body)}
        for attempt in range(5):
            try:
                request = urllib.request.Request(self.webhook, body, headers)
                urllib.request.urlopen(request, timeout=10)
            except OSError:  # refused, or hung up on in the middle
                time.sleep(0.5 * 2**attempt)
            else:
                return

    def last(self, kind: str) -> Object:
        return next(event for event in reversed(self.events) if event["type"] == kind)

    # ------------------------------------------------------------------------- The API

    def call(self, method: str, path: str, given: Object) -> Object:
        match method, path.removeprefix("/v1/").split("/"):
            case "POST", ["checkout", "sessions"]:
                return self._new_session(given)
            case "GET", ["checkout", "sessions", id_]:
                return self.expanded(self.found(id_, "checkout.session"), given.get("expand", []))
            case "POST", ["payment_intents"]:
                return self._new_intent(given)
            case "POST", ["payment_intents", id_, "cancel"]:
                intent = self.found(id_, "payment_intent")
                if intent["status"] == "succeeded":
                    raise invalid("It has succeeded", code="payment_intent_unexpected_state")
                intent["status"] = "canceled"
                return intent
            case "GET", ["payment_intents"]:
                since = int(given.get("created", {}).get("gte", 0))
                made = [one for one in self._all("payment_intent") if one["created"] >= since]
                return self._list(path, made[::-1], given)
            case "GET", ["payment_intents", id_]:
                return self.expanded(self.found(id_, "payment_intent"), given.get("expand", []))
            case "GET", ["charges", id_]:
                return self.found(id_, "charge")
            case "GET", ["disputes", id_]:
                return self.found(id_, "dispute")
            case "POST", ["refunds"]:
                return self._new_refund(given)
            case "GET", ["refunds"]:
                refunds = self._all("refund", payment_intent=given.get("payment_intent"))
                return self._list(path, refunds[::-1], given)
            case "GET", ["refunds", id_]:
                return self.found(id_, "refund")
            case "GET", ["events"]:
                since = int(given.get("created", {}).get("gte", 0))
                kinds = given.get("types") or []
                chosen = [e for e in self.events if e["created"] >= since and e["type"] in kinds]
                return self._list(path, chosen[::-1], given)
            case "GET", ["webhook_endpoints"]:
                return self._list(path, self._all("webhook_endpoint"), given)
            case "GET", ["balance_transactions"]:
                since = int(given.get("created", {}).get("gte", 0))
                rows = self._all("balance_transaction", currency=given["currency"])
                return self._list(path, [r for r in rows if r["created"] >= since][::-1], given)
        raise Wrong(404, "invalid_request_error", f"Unrecognized request URL: {method} {path}")

    def _all(self, kind: str, **having: Any) -> list[Object]:
        every = [found for found in self.objects.values() if found["object"] == kind]
        return [f for f in every if all(f.get(name) == value for name, value in having.items())]

    def _list(self, path: str, found: list[Object], given: Object) -> Object:
        after, limit = given.get("starting_after"), int(given.get("limit", 10))
        if after:
            at = next(number for number, one in enumerate(found) if one["id"] == after)
            found = found[at + 1 :]
        paths = [part.removeprefix("data.") for part in given.get("expand", [])]
        page = [self.expanded(one, paths) for one in found[:limit]]
        return {"object": "list", "data": page, "has_more": len(found) > limit, "url": path}

    def _new_session(self, given: Object) -> Object:
        (item,) = given["line_items"]
        price = item["price_data"]
        amount, currency = int(price["unit_amount"]) * int(item["quantity"]), price["currency"]
        seconds = int(given["expires_at"]) - time.time()
        if given.get("mode") != "payment":
            raise invalid("mode must be payment", param="mode")
        if not re.fullmatch("[a-z]{3}", currency):
            raise invalid(f"Invalid currency: {currency}", param="currency")
        if currency == "usd" and amount < 50:
            raise invalid("It must be at least $0.50 usd", code="amount_too_small")
        if not 30 * 60 <= seconds <= 24 * 3600 + 5:
            raise invalid("expires_at must be between 30 minutes and 24 hours", param="expires_at")
        if not price["product_data"]["name"]:
            raise invalid("A product has a name", param="product_data[name]")
        for name in ("success_url", "cancel_url"):
            if urllib.parse.urlsplit(given[name]).scheme not in ("http", "https"):
                raise invalid(f"Not a valid URL: {name}", param=name, code="url_invalid")
        session = self.new(
            "cs_test",
            "checkout.session",
            mode="payment",
            status="open",
            payment_status="unpaid",
            amount_total=amount,
            currency=currency,
            client_reference_id=given.get("client_reference_id"),
            metadata=given.get("metadata", {}),
            success_url=given["success_url"],
            cancel_url=given["cancel_url"],
            expires_at=int(given["expires_at"]),
            payment_intent=None,
        )
        session["url"] = f"{self.url}/c/pay/{session['id']}"
        session["_intent"] = given.get("payment_intent_data", {})
        return session

    def grant(self, most: int, currency: str = "usd", card: str = "tok_visa", **more: Any) -> str:
        """A holder lets an agent spend so much here, once: the token."""
        usage = {"currency": currency, "max_amount": most, "expires_at": int(time.time()) + 3600}
        token = self.new("spt", "shared_payment.granted_token", usage_limits=usage, **more)
        token["_card"], token["used"] = card, False
        return str(token["id"])

    def _new_intent(self, given: Object) -> Object:
        """As documented for shared payment tokens; what is wrong with one is our guess."""
        token = self.found(given["shared_payment_granted_token"], "shared_payment.granted_token")
        amount, currency, limits = int(given["amount"]), given["currency"], token["usage_limits"]
        if given.get("confirm") != "true":
            raise invalid("confirm must be true", param="confirm")
        if currency == "usd" and amount < 50:
            raise invalid("It must be at least $0.50 usd", code="amount_too_small")
        if token["used"] or limits["expires_at"] < time.time():
            raise invalid("The token is used up", code="shared_payment_token_inactive")
        if currency != limits["currency"] or amount > limits["max_amount"]:
            raise invalid("The token does not allow it", code="shared_payment_token_limit")
        if token["_card"] in DECLINES:
            code = DECLINES[token["_card"]]
            text = "Your card was declined."
            raise Wrong(402, "card_error", text, code="card_declined", decline_code=code)
        token["used"] = True
        intent = self.new(
            "pi",
            "payment_intent",
            amount=amount,
            amount_received=0,
            currency=currency,
            status="requires_action" if token["_card"] == "tok_3ds" else "processing",
            metadata=given.get("metadata", {}),
            latest_charge=None,
            last_payment_error=None,
        )
        if token["_card"] == "tok_visa":
            self._charged({}, intent)
        return intent

    def _new_refund(self, given: Object) -> Object:
        intent = self.found(given["payment_intent"], "payment_intent")
        charge = self.objects.get(intent["latest_charge"] or "", {})
        amount = int(given.get("amount") or intent["amount"])
        if not charge or charge["amount_refunded"] + amount > charge["amount"]:
            text = "Refund amount is greater than unrefunded amount on charge"
            raise invalid(text, code="charge_already_refunded")
        if charge.get("disputed"):
            raise invalid("This charge is disputed", code="charge_disputed")
        charge["amount_refunded"] += amount
        refund = self.new(
            "re",
            "refund",
            status="succeeded",
            amount=amount,
            currency=intent["currency"],
            payment_intent=intent["id"],
            charge=charge["id"],
            metadata=given.get("metadata", {}),
        )
        self.booked(-amount, 0, intent["currency"], refund["id"], "refund")
        self.happened("charge.refunded", charge)
        return refund

    def booked(self, amount: int, fee: int, currency: str, source: str, kind: str) -> Object:
        values = {"amount": amount, "fee": fee, "net": amount - fee, "currency": currency}
        return self.new("txn", "balance_transaction", **values, source=source, type=kind)

    # ------------------------------------------------------------- What a buyer does there

    def pay(self, session_id: str, card: str = "tok_visa") -> Object:
        """Somebody fills in the hosted page. `tok_slow` is a bank debit: it takes days."""
        session = self.found(session_id, "checkout.session")
        if session["status"] != "open":
            raise invalid(f"The session is {session['status']}")
        if card in DECLINES:
            text = "Your card was declined."
            raise Wrong(402, "card_error", text, code="card_declined", decline_code=DECLINES[card])
        intent = self.new(
            "pi",
            "payment_intent",
            amount=session["amount_total"],
            amount_received=0,
            currency=session["currency"],
            status="processing",
            metadata=session["_intent"].get("metadata", {}),
            latest_charge=None,
            last_payment_error=None,
        )
        session.update(status="complete", payment_intent=intent["id"])
        if card != "tok_slow":
            self._charged(session, intent)
        self.happened("checkout.session.completed", session)
        return session

    def _charged(self, session: Object, intent: Object) -> None:
        amount, currency = intent["amount"], intent["currency"]
        values = {"amount": amount, "amount_refunded": 0, "currency": currency}
        charge = self.new("ch", "charge", **values, metadata=intent["metadata"])
        fee = round(amount * 0.029) + 30
        booked = self.booked(amount, fee, currency, charge["id"], "charge")
        charge.update(payment_intent=intent["id"], balance_transaction=booked["id"], disputed=False)
        intent.update(status="succeeded", amount_received=amount, latest_charge=charge["id"])
        session["payment_status"] = "paid"
        self.happened("payment_intent.succeeded", intent)

    def arrives(self, session_id: str, *, well: bool = True) -> None:
        """What was slow comes to its end."""
        session = self.objects[session_id]
        intent = self.objects[session["payment_intent"]]
        if well:
            self._charged(session, intent)
            self.happened("checkout.session.async_payment_succeeded", session)
        else:
            error = {"type": "card_error", "code": "payment_method_provider_decline"}
            intent.update(status="requires_payment_method", last_payment_error=error)
            self.happened("checkout.session.async_payment_failed", session)

    def expires(self, session_id: str) -> None:
        self.objects[session_id]["status"] = "expired"
        self.happened("checkout.session.expired", self.objects[session_id])

    def dispute(self, session_id: str, reason: str = "fraudulent") -> Object:
        """The buyer denies it at the bank."""
        intent = self.objects[self.objects[session_id]["payment_intent"]]
        self.objects[intent["latest_charge"]]["disputed"] = True
        dispute = self.new(
            "dp",
            "dispute",
            amount=intent["amount"],
            currency=intent["currency"],
            payment_intent=intent["id"],
            charge=intent["latest_charge"],
            reason=reason,
            status="needs_response",
        )
        self.happened("charge.dispute.created", dispute)
        return dispute

    def decides(self, dispute: Object, status: str) -> None:
        self.objects[dispute["id"]]["status"] = status
        self.happened("charge.dispute.closed", self.objects[dispute["id"]])


def signature(body: bytes, *, at: float | None = None, secret: str = SECRET) -> str:
    """As Stripe signs: `t=...,v1=...`."""
    when = int(time.time() if at is None else at)
    signed = hmac.new(secret.encode(), b"%d.%s" % (when, body), hashlib.sha256).hexdigest()
    return f"t={when},v1={signed}"


def form(text: str) -> Object:
    """`a[b][0][c]=1` as nested dicts and lists."""
    root: Object = {}
    for name, value in urllib.parse.parse_qsl(text, keep_blank_values=True):
        *path, last = re.findall(r"[^\[\]]+", name)
        place = root
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    found = _lists(root)
    return found if isinstance(found, dict) else {}


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        return [_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _lists(inner) for key, inner in value.items()}


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Pay {total}</title>
<h1>Pay {total}</h1><p role="alert">{told}</p><form method="post">
<label>Card <select name="card"><option>tok_visa<option>tok_slow{declines}</select></label>
<button>Pay</button></form><a href="{cancel}">Back</a>"""


def _handler(double: Stripe) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            url = urllib.parse.urlsplit(self.path)
            if url.path.startswith("/c/pay/"):
                return self._page(url.path.rpartition("/")[2])
            return self._api("GET", url.path, url.query)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            if self.path.startswith("/c/pay/"):
                return self._paid(self.path.rpartition("/")[2], form(body).get("card", ""))
            return self._api("POST", self.path, body)

        def _api(self, method: str, path: str, text: str) -> None:
            if double.is_down or self._told(double.broken, path):
                return self._out(500, {"error": {"type": "api_error", "message": "Sorry."}})
            if self.headers.get("Authorization") != f"Bearer {KEY}":
                return self._out(401, {"error": {"type": "invalid_request_error"}})
            if double.errors:
                status, error = double.errors.pop(0)
                return self._out(status, {"error": error})
            version = self.headers.get("Stripe-Version", "")
            if "shared_payment_granted_token" in text and "preview" not in version:
                error = {"type": "invalid_request_error", "message": "Received unknown parameter"}
                return self._out(400, {"error": error})
            key, given = self.headers.get("Idempotency-Key", ""), form(text)
            with double.lock:
                double.asked.append((method, path, given))
                status, answer = self._once(method, path, text, given, key)
            if self._told(double.silent_after, path):
                self.close_connection = True
                return None
            return self._out(status, answer)

        def _once(
            self, method: str, path: str, text: str, given: Object, key: str
        ) -> tuple[int, Object]:
            if method == "POST" and key in double.answers:
                was, status, answer = double.answers[key]
                if was != (path, text):
                    error = {"type": "idempotency_error", "message": "Other parameters."}
                    return 400, {"error": error}
                return status, answer
            try:
                status, answer = 200, double.call(method, path, given)
            except Wrong as wrong:
                status, answer = wrong.status, {"error": wrong.error}
            except (KeyError, ValueError, TypeError) as error:
                status, answer = (
                    400,
                    {"error": {"type": "invalid_request_error", "message": f"{error!r}"}},
                )
            answer = json.loads(json.dumps(answer))
            if method == "POST" and key:
                double.answers[key] = (path, text), status, answer
            return status, answer

        def _told(self, paths: list[str], path: str) -> bool:
            for part in paths:
                if part in path:
                    paths.remove(part)
                    return True
            return False

        def _page(self, id_: str, told: str = "") -> None:
            session = double.objects[id_]
            total = f"{session['amount_total']} {session['currency']}"
            declines = "".join(f"<option>{name}" for name in DECLINES)
            page = PAGE.format(
                total=total, told=told, declines=declines, cancel=html.escape(session["cancel_url"])
            )
            self._send_body(200, page.encode(), "text/html; charset=utf-8")

        def _paid(self, id_: str, card: str) -> None:
            try:
                with double.lock:
                    session = double.pay(id_, card)
            except Wrong as wrong:
                return self._page(id_, str(wrong))
            self.send_response(303)
            self.send_header("Location", session["success_url"])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None

        def _out(self, status: int, answer: Object) -> None:
            self._send_body(status, json.dumps(answer).encode(), "application/json")

        def _send_body(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


@contextmanager
def stripe_double() -> Iterator[Stripe]:
    """A Stripe of its own."""
    double = Stripe()
    with serving(_handler(double)) as url:
        double.url = url
        yield double


if __name__ == "__main__":
    from http.server import ThreadingHTTPServer

    port = int(sys.argv[1])
    played = Stripe(f"http://127.0.0.1:{port}", webhook=sys.argv[2] if sys.argv[2:] else "")
    ThreadingHTTPServer(("127.0.0.1", port), _handler(played)).serve_forever()
