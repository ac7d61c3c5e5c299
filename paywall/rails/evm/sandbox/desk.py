"""The sandbox's accounts at the owner's desk: to be looked at."""

from __future__ import annotations

from paywall.admin.accounts import AccountForm

from .terms import RAIL


class SandboxAccountForm(AccountForm):
    """They make themselves, so there is nothing to fill in."""

    rail = RAIL
    by_hand = ()

    class Meta(AccountForm.Meta):
        fields = ("currency", "order", "enabled")  # type: ignore[assignment]
