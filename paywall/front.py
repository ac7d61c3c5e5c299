"""The front door: who asks for what is sold, and brings nothing, is answered before Django is.

    # wsgi.py
    from paywall import front
    application = front.wsgi(get_wsgi_application())        # front.asgi(get_asgi_application())

The last answer to the same question is given again, byte for byte, until the price that it names
is looked up anew (`CACHE_SECONDS`). Only where the gate says that it would tell everybody the same
(`shared_until`), and only to whoever sends nothing that could make a difference: no cookie, no
authorization, no payment, no coupon, no condition. What the answer's `Vary` names is compared, as
every HTTP cache does it (RFC 9111, section 4.1). Everything else goes to the application untouched.

Memory is bounded, whatever strangers ask for. Middleware of the site does not see what is answered
here; the server's own log does.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any, NamedTuple

from paywall import conf
from paywall.entry.told import ABOUT, FRONT, NONCE, UNTIL, Knock
from paywall.protocols import registry as protocols

MOST_BYTES = 16 * 1024 * 1024
MOST_ANSWERS = 4_096
LONGEST = 64 * 1024
"""Bytes of an answer that is kept."""

Environ = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Headers = list[tuple[str, str]]

_MAKES_A_DIFFERENCE = (
    *("Cookie", "Authorization", "Paywall-Coupon", "Paywall-Pay", "Sign-In-With-X", "Range"),
    *("If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range"),
    *("Content-Type", "Transfer-Encoding", "Signature-Input"),
)


class Answer(NamedTuple):
    """What went out, around the word that is another one for each reader."""

    status: int
    reason: str
    headers: tuple[tuple[str, tuple[str, ...]], ...]
    body: tuple[bytes, ...]
    about: tuple[int, str]
    """The resource's key and currency, for who counts visitors."""

    @classmethod
    def of(
        cls, status: int, reason: str, headers: Headers, body: bytes, told: dict[str, Any]
    ) -> Answer:
        nonce: str = told.get(NONCE, "")

        def around(text: str) -> tuple[str, ...]:
            return tuple(text.split(nonce)) if nonce else (text,)

        parts = tuple(body.split(nonce.encode())) if nonce else (body,)
        again = tuple((name, around(value)) for name, value in headers)
        return cls(status, reason, again, parts, told[ABOUT])

    def again(self) -> tuple[Headers, bytes]:
        """The same, with another word."""
        if len(self.body) == 1:
            return [(name, value[0]) for name, value in self.headers], self.body[0]
        nonce = secrets.token_urlsafe(18)
        headers = [(name, nonce.join(value)) for name, value in self.headers]
        return headers, nonce.encode().join(self.body)


class _Question:
    """All answers to one address: by what their `Vary` names."""

    __slots__ = ("answers", "until", "varies_on")

    def __init__(self, until: float, varies_on: tuple[str, ...]) -> None:
        self.until, self.varies_on = until, varies_on
        self.answers: dict[tuple[str, ...], Answer] = {}


class Kept:
    """Answers, and no more of them than there is room for."""

    def __init__(self) -> None:
        self._questions: dict[tuple[str, ...], _Question] = {}
        self._answers = self._bytes = 0

    def find(self, key: tuple[str, ...], header: Callable[[str], str], now: float) -> Answer | None:
        question = self._questions.get(key)
        if question is None or now >= question.until:
            return None
        return question.answers.get(tuple(map(header, question.varies_on)))

    def keep(
        self,
        key: tuple[str, ...],
        header: Callable[[str], str],
        answer: Answer,
        until: float,
        varies_on: tuple[str, ...],
    ) -> None:
        size = sum(map(len, answer.body)) + 2_000 + sum(map(len, key))
        if self._answers >= MOST_ANSWERS or self._bytes + size > MOST_BYTES:
            self.clear()
        question = self._questions.get(key)
        if question is None or question.until < until or question.varies_on != varies_on:
            question = self._questions[key] = _Question(until, varies_on)
        question.answers[tuple(map(header, varies_on))] = answer
        self._answers += 1
        self._bytes += size

    def clear(self) -> None:
        self._questions = {}
        self._answers = self._bytes = 0


def _place(key: tuple[str, ...]) -> tuple[str, ...]:
    """Where somebody asks: without the method and the query."""
    return key[1:_QUERY] + key[_QUERY + 1 :]


_QUERY = 6
"""The query's place in a key."""


@conf.kept
def _differences() -> tuple[str, ...]:
    """Request headers with which somebody is never answered here."""
    return tuple(dict.fromkeys((*_MAKES_A_DIFFERENCE, *protocols.request_headers())))


@conf.kept
def _named_by_proxies() -> tuple[str, ...]:
    """Request headers by which the site believes to know its own address."""
    from django.conf import settings

    names = []
    if settings.SECURE_PROXY_SSL_HEADER:
        names.append(settings.SECURE_PROXY_SSL_HEADER[0].removeprefix("HTTP_").replace("_", "-"))
    if settings.USE_X_FORWARDED_HOST:
        names.append("X-Forwarded-Host")
    if settings.USE_X_FORWARDED_PORT:
        names.append("X-Forwarded-Port")
    return tuple(names)


def _varies_on(headers: Headers) -> tuple[str, ...] | None:
    """What its `Vary` names, without what nobody has who is answered here; None for everything."""
    names = {
        name.strip().title()
        for field, value in headers
        if field.lower() == "vary"
        for name in value.split(",")
        if name.strip()
    }
    if "*" in names:
        return None
    absent = {name.title() for name in _differences()}
    return tuple(sorted(names - absent))


def _to_keep(
    status: int, reason: str, headers: Headers, body: bytes, told: dict[str, Any]
) -> tuple[Answer, tuple[str, ...]] | None:
    """What may be told again: a 402 that gives nobody a cookie."""
    if status != 402 or len(body) > LONGEST:
        return None
    if any(name.lower() == "set-cookie" for name, _ in headers):
        return None
    varies_on = _varies_on(headers)
    if varies_on is None:
        return None
    return Answer.of(status, reason, headers, body, told), varies_on


# --------------------------------------------------------------------------------- WSGI


def _variable(name: str) -> str:
    """A header's name in a WSGI environment."""
    plain = name.upper().replace("-", "_")
    return plain if plain in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{plain}"


@conf.kept
def _variables() -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(map(_variable, _differences())), tuple(map(_variable, _named_by_proxies()))


class _Overheard:
    """A response on its way out, whatever has been put around Django's (Sentry does)."""

    def __init__(self, response: Iterable[bytes], keep: Callable[[bytes], None]) -> None:
        self._response, self._keep = response, keep

    def __iter__(self) -> Iterator[bytes]:
        body = b""
        for part in self._response:
            if len(body) <= LONGEST:
                body += part
            yield part
        self._keep(body)

    def close(self) -> None:
        close = getattr(self._response, "close", None)
        if close is not None:
            close()


def wsgi(application: Callable[..., Any]) -> Callable[..., Iterable[bytes]]:
    """A WSGI application behind the front door."""
    from paywall.entry import counting, storms  # which need Django's apps

    kept, storm = Kept(), storms.Storm()

    def front(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        key = _key_of_environ(environ)
        if key is None:
            return application(environ, start_response)  # type: ignore[no-any-return]

        def header(name: str) -> str:
            return str(environ.get(_variable(name), ""))

        answer = kept.find(key, header, time.monotonic())
        if answer is not None:
            counting.asked(
                answer.about,
                environ.get("HTTP_USER_AGENT", ""),
                environ.get("REMOTE_ADDR", ""),
                environ.get("HTTP_X_FORWARDED_FOR", ""),
            )
            headers, body = answer.again()
            start_response(f"{answer.status} {answer.reason}", headers)
            return [body]
        limit = conf.get().storm
        short = storm.answer(_place(key), _knock_of(environ), time.time()) if limit else None
        if short is not None:
            start_response(f"{short.status} {short.reason}", short.headers)
            return [short.body]
        told: dict[str, Any] = {}
        environ[FRONT] = told
        said: list[Any] = []

        def noted(status: str, headers: Headers, *more: Any) -> Any:
            said[:] = [status, headers]
            write = start_response(status, headers, *more)

            def written(part: bytes) -> Any:
                said.clear()  # the old way to answer, which nothing is kept of
                return write(part)

            return written

        def keep(body: bytes) -> None:
            if said and limit:
                storm.passed(_place(key), told, int(said[0][:3]), time.time())
            if said and UNTIL in told:
                code, _, reason = said[0].partition(" ")
                found = _to_keep(int(code), reason, said[1], body, told)
                if found is not None:
                    kept.keep(key, header, found[0], told[UNTIL], found[1])

        response = application(environ, noted)
        # Who has not begun yet may still be told.
        return _Overheard(response, keep) if UNTIL in told or limit or not said else response

    front.kept = kept  # type: ignore[attr-defined]
    front.storm = storm  # type: ignore[attr-defined]
    return front


def _knock_of(environ: Environ) -> Knock:
    return Knock(
        method=environ["REQUEST_METHOD"],
        query=environ.get("QUERY_STRING", ""),
        accept=environ.get("HTTP_ACCEPT", ""),
        mode=environ.get("HTTP_SEC_FETCH_MODE", ""),
        preferences=environ.get("HTTP_ACCEPT_PAYMENT", ""),
        agent=environ.get("HTTP_USER_AGENT", ""),
        remote=environ.get("REMOTE_ADDR", ""),
        forwarded=environ.get("HTTP_X_FORWARDED_FOR", ""),
    )


def _key_of_environ(environ: Environ) -> tuple[str, ...] | None:
    method = environ["REQUEST_METHOD"]
    if method not in ("GET", "HEAD"):
        return None
    differences, named = _variables()
    if environ.get("REMOTE_USER"):
        return None  # the server knows who it is
    for name in differences:
        if environ.get(name):
            return None
    query = environ.get("QUERY_STRING", "")
    if environ.get("CONTENT_LENGTH") not in (None, "", "0") or "coupon" in query.lower():
        return None
    return (
        method,
        environ["wsgi.url_scheme"],
        environ.get("HTTP_HOST", "") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}",
        environ.get("SERVER_PORT", ""),
        environ.get("SCRIPT_NAME", ""),
        environ.get("PATH_INFO", ""),
        query,
        *(environ.get(name, "") for name in named),
    )


# --------------------------------------------------------------------------------- ASGI

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


@conf.kept
def _raw_names() -> tuple[frozenset[bytes], tuple[str, ...]]:
    differences = frozenset(name.lower().encode() for name in _differences())
    return differences, tuple(name.lower() for name in _named_by_proxies())


def asgi(application: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """An ASGI application behind the front door."""
    from paywall.entry import counting, storms

    kept, storm = Kept(), storms.Storm()

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await application(scope, receive, send)
        sent = _headers_of(scope)
        key = None if sent is None else _key_of_scope(scope, sent)
        if sent is None or key is None:
            return await application(scope, receive, send)

        def header(name: str) -> str:
            return sent.get(name.lower(), "")

        answer = kept.find(key, header, time.monotonic())
        if answer is not None:
            remote = (scope.get("client") or ("", 0))[0] or ""
            agent, forwarded = header("user-agent"), header("x-forwarded-for")
            counting.asked(answer.about, agent, remote, forwarded)
            headers, body = answer.again()
            await send(_began(answer.status, headers))
            return await send({"type": "http.response.body", "body": body})
        limit, short = conf.get().storm, None
        if limit:
            short = storm.answer(_place(key), _knock_of_scope(scope, sent), time.time())
        if short is not None:
            await send(_began(short.status, short.headers))
            return await send({"type": "http.response.body", "body": short.body})
        told: dict[str, Any] = {}
        scope[FRONT] = told
        said: dict[str, Any] = {"body": b"", "whole": False}

        async def noted(message: Any) -> None:
            if message["type"] == "http.response.start":
                said.update(message)
            elif message["type"] == "http.response.body" and len(said["body"]) <= LONGEST:
                said["body"] += message.get("body", b"")
                said["whole"] = not message.get("more_body", False)
            await send(message)

        await application(scope, receive, noted)
        if limit and "status" in said:
            storm.passed(_place(key), told, said["status"], time.time())
        if UNTIL in told and said["whole"]:
            headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in said["headers"]]
            found = _to_keep(said["status"], "", headers, said["body"], told)
            if found is not None:
                kept.keep(key, header, found[0], told[UNTIL], found[1])
        return None

    front.kept = kept  # type: ignore[attr-defined]
    front.storm = storm  # type: ignore[attr-defined]
    return front


def _began(status: int, headers: Headers) -> dict[str, Any]:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": raw}


def _knock_of_scope(scope: Scope, sent: dict[str, str]) -> Knock:
    return Knock(
        method=scope["method"],
        query=scope.get("query_string", b"").decode("latin-1"),
        accept=sent.get("accept", ""),
        mode=sent.get("sec-fetch-mode", ""),
        preferences=sent.get("accept-payment", ""),
        agent=sent.get("user-agent", ""),
        remote=(scope.get("client") or ("", 0))[0] or "",
        forwarded=sent.get("x-forwarded-for", ""),
    )


def _headers_of(scope: Scope) -> dict[str, str] | None:
    """By name in lower case; None where one of them makes a difference."""
    differences, _ = _raw_names()
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        lower = name.lower()
        if lower in differences and value:
            return None
        plain = lower.decode("latin-1")
        told = value.decode("latin-1")
        found[plain] = f"{found[plain]},{told}" if plain in found else told
    return found


def _key_of_scope(scope: Scope, sent: dict[str, str]) -> tuple[str, ...] | None:
    method, query = scope["method"], scope.get("query_string", b"").decode("latin-1")
    if method not in ("GET", "HEAD") or sent.get("content-length", "0") != "0":
        return None
    if "coupon" in query.lower():
        return None
    _, named = _raw_names()
    server = scope.get("server") or ("", "")
    return (
        method,
        scope.get("scheme", "http"),
        sent.get("host", ""),
        f"{server[0]}:{server[1]}",
        scope.get("root_path", ""),
        scope["path"],
        query,
        *(sent.get(name, "") for name in named),
    )
