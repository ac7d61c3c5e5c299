"""Documents about bots, fetched from a real server over TLS; and from nowhere else."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.utils import timezone

from paywall.models import BotSource
from paywall.visitors import fetching, refresh, sources
from paywall.visitors.fetching import NotFetched, fetch_json
from tests.visitors.bots import SigningBot

HOST = "bot.example"


class Publisher:
    """A bot's owner: what is served, by path."""

    def __init__(self, certificate: Any) -> None:
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, str]] = []
        self.slowly = 0.0
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.asked.append((self.path, self.headers["Host"]))
                status, headers, body = owner.pages.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                for at in range(0, len(body), 65_536):
                    self.wfile.write(body[at : at + 65_536])
                    time.sleep(owner.slowly)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = certificate.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path: str, host: str = HOST) -> str:
        return f"https://{host}:{self.server.server_port}{path}"

    def serve(self, path: str, document: Any, status: int = 200, **headers: str) -> str:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.pages[path] = (status, {"Content-Type": "application/json", **named}, body)
        return self.url(path)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, str(folder / "cert.pem")


@pytest.fixture
def publisher(certificate: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """On this machine, which is taken for the public network."""
    names = {HOST: ["127.0.0.1"], "other.example": ["127.0.0.1"]}

    def look_up(host: str, port: Any, *args: Any, **kwargs: Any) -> Any:
        return [(2, 1, 6, "", (address, port)) for address in names.get(host, [host])]

    monkeypatch.setattr(fetching.socket, "getaddrinfo", look_up)
    monkeypatch.setattr(fetching, "_is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(
        fetching, "_trust", lambda: ssl.create_default_context(cafile=certificate[1])
    )
    found = Publisher(certificate[0])
    yield found
    found.server.shutdown()
    found.server.server_close()


class TestFetching:
    def test_a_document(self, publisher):
        url = publisher.serve("/list.json?v=1", {"a": 1})
        assert fetch_json(url) == {"a": 1}
        assert publisher.asked == [("/list.json?v=1", f"{HOST}:{publisher.server.server_port}")]

    def test_a_certificate_of_somebody_else(self, publisher):
        publisher.serve("/", {})
        with pytest.raises(NotFetched):
            fetch_json(publisher.url("/", "other.example"))

    def test_redirects_are_followed_a_few_times(self, publisher):
        publisher.serve("/b", {"b": 1})
        url = publisher.serve("/a", {}, 302, Location="/b")
        assert fetch_json(url) == {"b": 1}
        publisher.serve("/loop", {}, 302, Location="/loop")
        with pytest.raises(NotFetched, match="too often"):
            fetch_json(publisher.url("/loop"))

    def test_a_redirect_to_where_nothing_is_fetched_from(self, publisher):
        for to in (
            "http://bot.example/",
            "https://10.0.0.1/",
            "file:///etc/passwd",
            "//169.254.169.254/",
        ):
            publisher.serve("/a", {}, 302, Location=to)
            with pytest.raises(NotFetched):
                fetch_json(publisher.url("/a"))

    def test_keys_are_not_followed_to_somebody_else(self, publisher):
        publisher.serve("/b", {})
        url = publisher.serve("/a", {}, 301, Location="/b")
        with pytest.raises(NotFetched, match="redirects"):
            fetch_json(url, redirects=0)

    @pytest.mark.parametrize("status", [204, 401, 404, 500])
    def test_other_answers(self, publisher, status):
        with pytest.raises(NotFetched, match=str(status)):
            fetch_json(publisher.serve("/", {}, status))

    def test_what_is_no_json_or_of_another_type(self, publisher):
        with pytest.raises(NotFetched, match="JSON"):
            fetch_json(publisher.serve("/", b"<html>"))
        with pytest.raises(NotFetched, match="application/json"):
            fetch_json(publisher.url("/"), media_type="application/jwk-set+json")

    def test_what_is_too_long_or_takes_too_long(self, publisher, monkeypatch):
        monkeypatch.setattr(fetching, "MOST_BYTES", 100_000)
        with pytest.raises(NotFetched, match="longer"):
            fetch_json(publisher.serve("/", b"1" * 300_000))
        monkeypatch.setattr(fetching, "MOST_BYTES", 10**9)
        monkeypatch.setattr(fetching, "SECONDS", 0.1)
        publisher.slowly = 0.05
        with pytest.raises(NotFetched, match="too long"):
            fetch_json(publisher.url("/"))

    def test_nobody_there(self, publisher):
        url = publisher.url("/")
        publisher.server.shutdown()
        publisher.server.server_close()
        with pytest.raises(NotFetched):
            fetch_json(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://bot.example/",
        "https://u:p@bot.example/",
        "https:///x",
        "https://[::1/",
        "ftp://bot.example/",
        "",
    ],
)
def test_what_is_no_https_url(url):
    with pytest.raises(NotFetched):
        fetch_json(url)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "fe80::1", "fc00::1", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1"),
    ],
)
def test_nothing_is_fetched_from_inside(monkeypatch, address):
    def look_up(*_: Any, **__: Any) -> Any:
        # One good address does not make up for one that is not.
        return [(2, 1, 6, "", ("93.184.215.14", 443)), (2, 1, 6, "", (address, 443))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(fetching.httpx, "Client", None)
    with pytest.raises(NotFetched, match="public"):
        fetch_json("https://inside.example/")


@pytest.mark.django_db
class TestRefreshing:
    TYPE = refresh.DIRECTORY_TYPE

    def want(self, publisher: Publisher, path: str = "/keys") -> BotSource:
        return BotSource.objects.create(
            kind="directory", url=publisher.url(path), named=False, due_at=timezone.now()
        )

    def test_keys(self, publisher):
        bot = SigningBot()
        publisher.serve("/keys", bot.directory(), Content_Type=self.TYPE)
        row = self.want(publisher)
        assert refresh.refresh() == {"fetched": 1}
        row.refresh_from_db()
        assert row.fetched_at is not None
        assert row.due_at > timezone.now() + timedelta(minutes=50)
        assert len(sources.get().keys[row.url]) == 1
        assert refresh.refresh() == {}, "nothing is due"

    def test_lists_of_the_settings(self, publisher, paywall_settings):
        url = publisher.serve("/list.json", {"prefixes": [{"ipv4Prefix": "192.0.2.0/24"}]})
        paywall_settings(BOTS={"X": {"ADDRESSES": [url]}})
        assert refresh.refresh() == {"fetched": 1}
        assert BotSource.objects.get().content == ["192.0.2.0/24"]
        paywall_settings(BOTS={})
        refresh.refresh()
        assert not BotSource.objects.exists(), "what was taken out of the settings is forgotten"

    @pytest.mark.parametrize(
        ("document", "headers"),
        [
            ({"keys": []}, {"Content_Type": TYPE}),
            ({"keys": "x"}, {"Content_Type": TYPE}),
            ([], {"Content_Type": TYPE}),
            ({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA"}]}, {"Content_Type": TYPE}),
            ({"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}, {"Content_Type": TYPE}),
            ({"keys": [{"kty": "oct", "k": "AAAA"}]}, {"Content_Type": TYPE}),
            ({"keys": [3]}, {"Content_Type": TYPE}),
            ({"keys": [{"kty": "RSA", "n": "A" * 900_000, "e": "AQAB"}]}, {"Content_Type": TYPE}),
            ({"keys": []}, {}),
        ],
    )
    def test_what_are_no_keys(self, publisher, document, headers):
        publisher.serve("/keys", document, **headers)
        row = self.want(publisher)
        assert refresh.refresh() == {"failed": 1}
        row.refresh_from_db()
        assert row.content is None
        assert row.error

    def test_a_directory_that_leads_elsewhere_is_somebody_elses(self, publisher):
        publisher.serve("/other", SigningBot().directory(), Content_Type=self.TYPE)
        publisher.serve("/keys", {}, 302, Location="/other")
        row = self.want(publisher)
        assert refresh.refresh() == {"failed": 1}
        row.refresh_from_db()
        assert row.content is None
        assert "redirects" in row.error

    def test_a_directory_that_is_down_is_asked_ever_more_seldom(self, publisher):
        row = self.want(publisher)
        waits = []
        for _ in range(14):
            BotSource.objects.update(due_at=timezone.now())
            assert refresh.refresh() == {"failed": 1}
            row.refresh_from_db()
            waits.append(row.due_at - timezone.now())
        minutes = [round(wait.total_seconds() / 60) for wait in waits]
        assert minutes == sorted(minutes)
        assert waits[0] < timedelta(minutes=2)
        assert waits[-1] > timedelta(hours=23)

    def test_what_it_said_before_is_good_for_a_week(self, publisher):
        bot = SigningBot()
        row = self.want(publisher)
        now = timezone.now()
        for days, is_kept in ((6, True), (8, False)):
            BotSource.objects.update(
                content=bot.directory(), fetched_at=now - timedelta(days=days), due_at=now
            )
            refresh.refresh()
            row.refresh_from_db()
            assert (row.content is not None) is is_kept

    def test_one_that_is_down_does_not_keep_others(self, publisher):
        bot = SigningBot()
        publisher.serve("/keys", bot.directory(), Content_Type=self.TYPE)
        self.want(publisher, "/away")
        self.want(publisher)
        assert refresh.refresh() == {"failed": 1, "fetched": 1}

    def test_a_strangers_that_nobody_names_any_more_is_forgotten(self, publisher):
        row = self.want(publisher)
        BotSource.objects.update(used_at=timezone.now() - timedelta(days=31))
        refresh.refresh()
        assert not BotSource.objects.filter(pk=row.pk).exists()
