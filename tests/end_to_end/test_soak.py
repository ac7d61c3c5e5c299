"""The short forms of `python -m tests.soak`: every fault once or twice, and the books."""

from __future__ import annotations

import pytest

from tests import soak


@pytest.mark.timeout(600)
def test_the_books_agree_after_everything_broke(tmp_path):
    assert soak.main(["--minutes", "2", "--logs", str(tmp_path)]) == 0


@pytest.mark.timeout(600)
def test_the_same_on_sqlite_with_the_desk_open(tmp_path):
    """The demo's own settings: fewer buyers, for one database file takes one writer at a time."""
    arguments = ["--sqlite", "--minutes", "1", "--buyers", "8", "--fault-every", "15"]
    assert soak.main([*arguments, "--logs", str(tmp_path)]) == 0
