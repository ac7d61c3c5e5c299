"""The real parties: a node, the official facilitator, the demo site under a real server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from paywall.testing import Buyer
from site_demo.chain import local
from site_demo.chain.local import CHAIN_ID, LocalChain, account, free_port, wait_for

ROOT = Path(__file__).resolve().parents[2]
SELLER = account(1).address


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that starts a node is slow."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def chain() -> Iterator[LocalChain]:
    """A node that mines a block for every transaction."""
    with LocalChain() as running:
        yield running


@pytest.fixture(scope="session")
def facilitator_url(chain: LocalChain) -> Iterator[str]:
    """The official facilitator, in a process of its own."""
    with official_facilitator(chain) as url:
        yield url


class official_facilitator:  # noqa: N801 - reads as a function where it is used
    def __init__(self, chain: LocalChain, key_index: int = 0) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [
            *(sys.executable, "-m", "site_demo.chain.facilitator"),
            *("--port", str(self.port), "--rpc-url", chain.url),
            *("--key", account(key_index).key.hex()),
        ]

    def __enter__(self) -> str:
        self.process = subprocess.Popen(self.command, cwd=ROOT)
        wait_for(f"{self.url}/supported", self.process)
        return self.url

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Site:
    """The demo site, migrated, seeded and served."""

    folder: Path
    env: dict[str, str]
    server: str = "gunicorn"
    processes: list[subprocess.Popen[Any]] = field(default_factory=list)
    url: str = ""

    def manage(self, *arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.env,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def start(self, workers: int = 2, port: int | None = None) -> Site:
        port = port or free_port()
        self.url = f"http://127.0.0.1:{port}"
        if self.server == "gunicorn":
            command = ["gunicorn", "site_demo.wsgi", "-b", f"127.0.0.1:{port}"]
            command += ["--workers", str(workers), "--threads", "4", "--log-level", "warning"]
        else:
            command = ["uvicorn", "site_demo.asgi:application", "--port", str(port)]
            command += ["--log-level", "warning"]
        self.spawn("-m", *command)
        wait_for(f"{self.url}/healthz", self.processes[-1])
        return self

    def spawn(self, *arguments: str) -> subprocess.Popen[Any]:
        log = (self.folder / "log").open("ab")
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def kill(self) -> None:
        """SIGKILL the servers with their workers, as a crash would."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, 9)
            process.wait()
        self.processes.clear()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def shell(self, code: str) -> str:
        return self.manage("shell", "-v", "0", "-c", code).strip()


def demo_site(
    folder: Path, chain: LocalChain, facilitator_url: str, server: str = "gunicorn", **env: str
) -> Site:
    """The demo site as the environment makes it; not migrated yet."""
    return Site(
        folder,
        {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "site_demo.settings",
            "SECRET_KEY": "for a test",
            "DEBUG": "True",
            "DATABASE_URL": f"sqlite:///{folder / 'site.sqlite3'}",
            "PAYWALL_FACILITATOR_URL": facilitator_url,
            "PAYWALL_PAY_TO": SELLER,
            "PAYWALL_RPC_URL": chain.url,
            **env,
        },
        server,
    )


SiteFactory = Callable[..., Site]


DECIDES_WHAT_IS_SEEDED = (
    *("DEBUG", "PAYWALL_NETWORK", "PAYWALL_ASSET", "PAYWALL_PAY_TO"),
    *("PAYWALL_FREE_ARTICLES", "PAYWALL_STRIPE_KEY"),
)


@pytest.fixture(scope="session")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Site], None]:
    """Migrate and seed a site's database; a second one of the same kind is a copy of the first."""
    kept: dict[tuple[str, ...], Path] = {}

    def seeded(site: Site) -> None:
        url = site.env["DATABASE_URL"]
        key = tuple(site.env.get(name, "") for name in DECIDES_WHAT_IS_SEEDED)
        if url.startswith("sqlite:///") and key in kept:
            shutil.copy(kept[key], url.removeprefix("sqlite:///"))
            return
        site.manage("migrate", "-v", "0")
        site.manage("seed_demo")
        if url.startswith("sqlite:///"):
            kept[key] = tmp_path_factory.mktemp("seeded") / "site.sqlite3"
            shutil.copy(url.removeprefix("sqlite:///"), kept[key])

    return seeded


@pytest.fixture
def make_site(
    tmp_path: Path, chain: LocalChain, facilitator_url: str, seed: Callable[[Site], None]
) -> Iterator[SiteFactory]:
    made = []

    def make(server: str = "gunicorn", **env: str) -> Site:
        site = demo_site(tmp_path, chain, facilitator_url, server, **env)
        seed(site)
        made.append(site)
        return site

    yield make
    for site in made:
        site.kill()


@pytest.fixture(scope="session")
def rich(chain: LocalChain) -> Any:
    """A buyer with a thousand dollars."""
    wallet = account(5)
    chain.mint(wallet.address, 1000 * local.USDC_UNIT)
    return wallet


@pytest.fixture
def shop(item, paywall_settings, chain, facilitator_url):
    """The site reads the node and settles through the official facilitator."""
    paywall_settings(FACILITATOR_URL=facilitator_url, RPC_URLS={f"eip155:{CHAIN_ID}": chain.url})
    chain.mine()
    return Client()


@pytest.fixture
def private_chain(item: Any, paywall_settings: Any) -> Iterator[LocalChain]:
    """A node of a test's own, which may be spoiled. The site settles for itself on it; account 5
    has money to buy with, and 8 is the treasury."""
    with LocalChain() as chain:
        paywall_settings(
            FACILITATOR_URL="",
            GAS_KEY=account(0).key.hex(),
            TREASURY_KEY=account(8).key.hex(),
            RPC_URLS={f"eip155:{CHAIN_ID}": chain.url},
        )
        for wallet in (account(5), account(8)):
            chain.mint(wallet.address, 1000 * local.USDC_UNIT)
        chain.mine()
        yield chain


@pytest.fixture
def own_shop(item, paywall_settings, chain):
    """The site settles for itself."""
    paywall_settings(
        FACILITATOR_URL="",
        GAS_KEY=account(0).key.hex(),
        TREASURY_KEY=account(1).key.hex(),
        RPC_URLS={f"eip155:{CHAIN_ID}": chain.url},
    )
    chain.mine()
    return Client()


@pytest.fixture
def rich_buyer(rich) -> Buyer:
    return Buyer(rich)
