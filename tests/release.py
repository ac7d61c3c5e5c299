"""What a release has to be: `python -m tests.release`, or `make release-check`.

The wheel is built twice and is the same to the byte, twine takes it, and a list of all that it
brings (CycloneDX) lies beside it in `dist`. `--audit` looks for known faults of those packages.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNREACHABLE = ("ConnectionError", "Max retries exceeded", "ServiceError", "Name or service")


def run(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **more}
    return subprocess.run(command, cwd=ROOT, env=env, text=True, capture_output=True)


def must(*command: str, **more: str) -> str:
    done = run(*command, **more)
    if done.returncode:
        sys.stdout.write(done.stdout + done.stderr)
        raise SystemExit(f"{' '.join(command[:4])} ...: {done.returncode}")
    return done.stdout


def when() -> str:
    """Of the commit that is built, so that files in the archives have its time."""
    done = run("git", "log", "-1", "--format=%ct")
    return done.stdout.strip() or "1700000000"


def build(folder: Path) -> Path:
    """The wheel and the sdist; returns the wheel."""
    must(sys.executable, "-m", "build", "--outdir", str(folder), SOURCE_DATE_EPOCH=when())
    (wheel,) = folder.glob("*.whl")
    return wheel


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_reproducible(folder: Path) -> Path:
    """Build twice, and compare. Returns the wheel that is kept in the folder."""
    kept = build(folder)
    with tempfile.TemporaryDirectory() as other:
        again = build(Path(other))
        if digest(kept) != digest(again):
            raise SystemExit(f"{kept.name} is another one when it is built again")
    return kept


def twine(folder: Path) -> None:
    files = [str(path) for path in folder.iterdir() if path.suffix in (".whl", ".gz")]
    must(sys.executable, "-m", "twine", "check", "--strict", *files)


def list_all(wheel: Path) -> Path:
    """All that a plain install brings, as CycloneDX."""
    found = wheel.parent / f"{wheel.stem}.cdx.json"
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        must(python, "-m", "pip", "install", "--quiet", str(wheel))
        must(
            *(sys.executable, "-m", "cyclonedx_py", "environment"),
            *("--output-reproducible", "--output-file", str(found), python),
        )
    return found


def audit(sbom: Path) -> str:
    """What is known to be wrong with them; "" where nothing is. Raises `ConnectionError` where
    nobody can be asked."""
    import json

    parts = json.loads(sbom.read_text())["components"]
    wanted = [f"{part['name']}=={part['version']}" for part in parts if "version" in part]
    ours = "django-paywall"
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(one for one in wanted if not one.startswith(ours)))
        file.flush()
        done = run(
            *(sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--no-deps"),
            *("--disable-pip", "-r", file.name),
        )
    told = done.stdout + done.stderr
    if done.returncode and any(word in told for word in UNREACHABLE):
        raise ConnectionError("pip-audit cannot reach its data")
    return told if done.returncode else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audit", action="store_true")
    options = parser.parse_args()
    folder = ROOT / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    wheel = is_reproducible(folder)
    sys.stdout.write(f"{wheel.name} is the same when it is built again\n")
    twine(folder)
    sys.stdout.write("twine takes it\n")
    sbom = list_all(wheel)
    sys.stdout.write(f"{sbom.name} lists all that it brings\n")
    if options.audit:
        try:
            faults = audit(sbom)
        except ConnectionError as error:
            sys.stdout.write(f"{error}: not audited\n")
        else:
            sys.stdout.write(faults or "no package has a known fault\n")
            return 1 if faults else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
