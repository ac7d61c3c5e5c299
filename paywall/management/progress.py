"""A bar that shows a person how far a command is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

WIDTH = 40


def bar(stream: TextIO, what: str) -> Callable[[int, int], None]:
    """To be called with how many are done, of how many. Silent where nobody watches."""

    def show(done: int, total: int) -> None:
        filled = WIDTH * done // max(total, 1)
        end = "\n" if done >= total else ""
        stream.write(f"\r[{'#' * filled}{'.' * (WIDTH - filled)}] {done} of {total} {what}{end}")
        stream.flush()

    return show if stream.isatty() else lambda done, total: None
