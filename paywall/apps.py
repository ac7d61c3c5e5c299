from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PaywallConfig(AppConfig):
    name = "paywall"
    label = "paywall"
    verbose_name = _("Paywall")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in
        from django.db.models.signals import post_migrate

        from . import checks, conf, logs, roles
        from .catalog import declarations
        from .holders import adoption

        logs.install()
        checks.register_all()
        if conf.wants_metrics():
            from .reports import metrics

            metrics.install_if_there()
        user_logged_in.connect(adoption.offer, dispatch_uid="paywall.adoption")
        post_migrate.connect(declarations.after_migrate, sender=self)
        post_migrate.connect(roles.after_migrate, sender=self)
