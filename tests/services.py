"""Real services for the tests, started for as long as they are needed.

python -m tests.services postgresql -- pytest ...      # runs it with DATABASE_URL set
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from site_demo.chain.local import free_port


class Postgresql:
    """A PostgreSQL server of our own, as a context manager."""

    def __enter__(self) -> Postgresql:
        self.port = free_port()
        self.url = f"postgres://paywall@127.0.0.1:{self.port}/postgres"
        self._binaries = _postgresql_binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="paywall-pg-"))
        # The server refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            entry = pwd.getpwnam(self._user)
            os.chown(self._folder, entry.pw_uid, entry.pw_gid)
        self._run("initdb", "-U", "paywall", "-A", "trust", "-E", "UTF8")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1"
        options += " -c max_connections=200"
        # What a killed server had committed is with the kernel: only the machine may not die.
        options += " -c fsync=off"
        self._run("pg_ctl", "-w", "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """At once, as a crash would: what is not in the log of its writes is gone."""
        self._run("pg_ctl", "-m", "immediate", "-w", "stop")

    def restart(self, away: float = 0.0) -> None:
        """Crash, and come back after some seconds."""
        self.stop()
        time.sleep(away)
        self.start()

    def _run(self, binary: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._binaries / binary), "-D", str(self._folder / "data"), *arguments],
            check=True,
            user=self._user,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            env=os.environ,
        )


class Redis:
    """A Redis server of our own, as a context manager; it keeps nothing over a restart."""

    def __enter__(self) -> Redis:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        import redis as client

        server = shutil.which("redis-server")
        if server is None:
            raise RuntimeError("redis-server is missing: apt-get install redis-server")
        command = [server, "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                client.Redis(port=self.port).ping()
                return
            except client.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def restart(self, away: float = 0.0) -> None:
        """Die with all messages, and come back empty."""
        self.stop()
        time.sleep(away)
        self.start()


@contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL server of our own; yields a database URL."""
    with Postgresql() as server:
        yield server.url


@contextmanager
def redis() -> Iterator[str]:
    """A Redis server of our own; yields a broker URL."""
    with Redis() as server:
        yield server.url


def _postgresql_binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        raise RuntimeError("PostgreSQL is missing: apt-get install postgresql")
    return Path(on_path).resolve().parent


def main() -> int:
    which, separator, *command = sys.argv[1:]
    if which != "postgresql" or separator != "--" or not command:
        print(__doc__)
        return 2
    with postgresql() as url:
        return subprocess.run(command, env={**os.environ, "DATABASE_URL": url}).returncode


if __name__ == "__main__":
    sys.exit(main())
