"""What strangers choose the keys of stays small."""

from __future__ import annotations

from paywall.memory import MOST, Bounded


def test_it_holds_so_many_and_no_more():
    known: Bounded[int, int] = Bounded()
    for key in range(MOST):
        known[key] = key
    known[0] = 1  # known already: nothing has to go
    assert len(known) == MOST
    known[MOST] = 0
    assert known == {MOST: 0}
