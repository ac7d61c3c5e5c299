"""The places where tests may have the process die, by name: `faults.POINTS`."""

from paywall.crashpoints import POINTS

__all__ = ["POINTS"]
