"""`manage.py paywall_export`: all that the paywall knows of one person."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand
from django.core.serializers.json import DjangoJSONEncoder

from paywall.management import people
from paywall.privacy.people import known

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = "Print all that the paywall knows of a user or a wallet, as JSON: for who asks for it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        people.add_arguments(parser)

    def handle(self, *args: Any, user: str | None, wallet: str | None, **options: Any) -> None:
        found = known(people.named(user, wallet))
        text = json.dumps(found, cls=DjangoJSONEncoder, indent=2, ensure_ascii=False)
        self.stdout.write(text)
