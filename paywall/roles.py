"""Who may do what at the desk: groups that `migrate` makes, for the owner to put people into.

Nobody edits payments. A group that exists is left as it is.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import router

_VIEW_BOOKS = (
    *("view_dashboard", "view_order", "view_payment", "view_paymentevent", "view_receipt"),
    *("view_refund", "view_dispute", "view_balance", "view_balanceentry"),
)

ROLES: dict[str, tuple[str, ...]] = {
    "Paywall price editors": (
        *("view_dashboard", "view_receipt", "view_account", "view_freeuse"),
        *("add_resource", "change_resource", "view_resource"),
        *("add_price", "view_price", "add_audience", "change_audience", "view_audience"),
        *("add_meter", "change_meter", "view_meter", "add_gift", "change_gift", "view_gift"),
        *("add_usageterms", "change_usageterms", "delete_usageterms", "view_usageterms"),
        *("add_visitorrule", "change_visitorrule", "delete_visitorrule", "view_visitorrule"),
    ),
    "Paywall refunders": (
        *(*_VIEW_BOOKS, "view_resource", "view_account", "view_accesspass"),
        *("refund_payment", "note_receipt", "revoke_accesspass"),
        *("look_again_payment", "view_alert", "send_alert"),
        *("add_acknowledgement", "add_examination"),
    ),
    "Paywall auditors": (
        *(*_VIEW_BOOKS, "view_resource", "view_price", "view_audience", "view_freeuse"),
        *("view_meter", "view_gift", "view_visitorrule", "view_botsource"),
        *("view_usageterms", "view_licenseclient", "view_licensetoken"),
        *("view_account", "view_accesspass", "view_exposure", "view_alert", "view_export"),
        *("view_wallet", "view_transaction", "view_cursor", "view_facilitatorhealth"),
        "view_notice",
        "export_receipt",
    ),
}
"""Names of groups, with the codenames of their permissions."""


def after_migrate(*, app_config: Any, using: str, **kwargs: Any) -> None:
    """Called by `migrate`: make the groups that are not there."""
    if not apps.is_installed("django.contrib.auth"):
        return
    from django.contrib.auth.management import create_permissions
    from django.contrib.auth.models import Group, Permission

    if not router.allow_migrate_model(using, Group):
        return
    groups = Group.objects.using(using)
    there = set(groups.filter(name__in=ROLES).values_list("name", flat=True))
    missing = [name for name in ROLES if name not in there]
    if not missing:
        return
    create_permissions(app_config, verbosity=0, using=using)
    known = Permission.objects.using(using).filter(content_type__app_label="paywall")
    keys = dict(known.values_list("codename", "pk"))
    for group in groups.bulk_create(Group(name=name) for name in missing):
        granted = Group.permissions.through.objects.using(using)
        granted.bulk_create(
            Group.permissions.through(group_id=group.pk, permission_id=keys[codename])
            for codename in ROLES[group.name]
        )
