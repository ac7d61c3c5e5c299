"""Run one slow step of the set-up and show that it is getting on. Needs nothing but Python.

python3 site_demo/step.py "Installing Python packages" pip install -e .
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    title, *command = sys.argv[1:]
    on_terminal = sys.stdout.isatty()
    started = last_told = time.monotonic()
    with tempfile.NamedTemporaryFile("w+b", suffix=".log", delete=False) as log:
        if not on_terminal:
            print(f"    {title} ...", flush=True)
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            while process.poll() is None:
                time.sleep(0.2)
                now = time.monotonic()
                if on_terminal:
                    print(f"\r    {title} ... {now - started:.0f} s", end="", flush=True)
                elif now - last_told >= 15:
                    print(f"    {title} ... {now - started:.0f} s", flush=True)
                    last_told = now
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            print()
            return 130
    took = time.monotonic() - started
    mark = "done" if process.returncode == 0 else "FAILED"
    print(f"{chr(13) if on_terminal else ''}    {title}: {mark} ({took:.0f} s)", flush=True)
    if process.returncode != 0:
        print(Path(log.name).read_text(errors="replace"), file=sys.stderr)
        print(f"Failed: {' '.join(command)}", file=sys.stderr)
    Path(log.name).unlink()
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
