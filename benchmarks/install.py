"""How much `pip install django-paywall` brings, and for what: `python -m benchmarks.install`.

A fresh environment; each package is put down to what we declare and what first asked for it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from .tables import table

ROOT = Path(__file__).resolve().parent.parent

WHAT_FOR = {
    "django": "the framework",
    "babel": "prices as they are written where a reader is",
    "celery": "the worker",
    "x402": "the protocol's types",
    "eth-account": "signatures",
    "eth-abi": "calls of contracts",
    "eth-utils": "hashes, addresses",
    "coincurve": "signatures, fast",
    "httpx": "nodes and facilitators",
    "pydantic": "settings and wire",
    "segno": "QR codes",
}

MEASURE = """
import json, re
from importlib.metadata import distributions
found = {}
for one in distributions():
    name = one.metadata["Name"].lower().replace("_", "-")
    files = [f.locate() for f in one.files or []]
    size = sum(f.stat().st_size for f in files if f.exists())
    needs = [re.split(r"[ ;<>=!~\\[(]", r)[0].lower().replace("_", "-")
             for r in one.requires or [] if "extra ==" not in r]
    found[name] = [size, needs]
print(json.dumps(found))
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        run = [python, "-m", "pip", "install", "--quiet", str(ROOT)]
        subprocess.run(run, check=True, stderr=subprocess.DEVNULL)
        found = json.loads(subprocess.check_output([python, "-c", MEASURE], text=True))
    ours, counted = found["django-paywall"], {"django-paywall", "pip", "setuptools"}
    rows = []
    for name in sorted(WHAT_FOR, key=list(WHAT_FOR).index):
        brought, to_do = [], [name]
        while to_do:
            each = to_do.pop()
            if each in counted or each not in found:
                continue
            counted.add(each)
            brought.append(each)
            to_do += found[each][1]
        size = sum(found[each][0] for each in brought) / 1e6
        rows.append([name, WHAT_FOR[name], str(len(brought)), f"{size:.0f} MB"])
    assert set(ours[1]) <= set(WHAT_FOR), "a dependency without a reason"
    size = ours[0] / 1e6
    rows.append(["django-paywall", "this", "1", f"{size:.0f} MB"])
    total = sum(each[0] for name, each in found.items() if name not in ("pip", "setuptools")) / 1e6
    rows.append(["in all", "", str(len(counted) - 2), f"{total:.0f} MB"])
    table(["package", "what for", "packages", "size"], *rows)


if __name__ == "__main__":
    sys.exit(main())  # type: ignore[func-returns-value]
