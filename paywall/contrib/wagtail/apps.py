"""The app that brings the panels, the checks and the report into Wagtail's admin."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register
from django.utils.translation import gettext_lazy as _


class PaywallWagtailConfig(AppConfig):
    name = "paywall.contrib.wagtail"
    label = "paywall_wagtail"
    verbose_name = _("Paywall for Wagtail")

    def ready(self) -> None:
        from wagtail.signals import page_published

        from . import checks, selling

        register(checks.check_pages, Tags.models)
        page_published.connect(selling.published, dispatch_uid="paywall.contrib.wagtail")
