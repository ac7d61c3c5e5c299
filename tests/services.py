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


@contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL server of our own; yields a database URL."""
    binaries = _postgresql_binaries()
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="paywall-pg-"))
    # The server refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    data = folder / "data"

    def run(*command: str) -> None:
        subprocess.run(
            command, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL, env=os.environ
        )

    run(str(binaries / "initdb"), "-D", str(data), "-U", "paywall", "-A", "trust", "-E", "UTF8")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c max_connections=200"
    control = str(binaries / "pg_ctl")
    run(control, "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"postgres://paywall@127.0.0.1:{port}/postgres"
    finally:
        run(control, "-D", str(data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def redis() -> Iterator[str]:
    """A Redis server of our own; yields a broker URL."""
    import redis as client

    port = free_port()
    server = shutil.which("redis-server")
    if server is None:
        raise RuntimeError("redis-server is missing: apt-get install redis-server")
    process = subprocess.Popen(
        [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                client.Redis(port=port).ping()
                break
            except client.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


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
