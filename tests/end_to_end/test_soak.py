"""The short form of `python -m tests.soak`: every fault once or twice, and the books."""

from __future__ import annotations

import pytest

from tests import soak


@pytest.mark.timeout(600)
def test_the_books_agree_after_everything_broke(tmp_path):
    assert soak.main(["--minutes", "2", "--logs", str(tmp_path)]) == 0
