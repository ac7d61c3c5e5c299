"""Where the free part of a page ends."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from wagtail.blocks import StaticBlock


class PaywallBreakBlock(StaticBlock):
    """What stands above it in a StreamField everybody reads; what stands below is paid for."""

    class Meta:
        icon = "lock"
        label = _("Paid from here on")
        admin_text = _("What stands above is the teaser. What stands below is for who has paid.")
        template = "paywall_wagtail/break.html"
