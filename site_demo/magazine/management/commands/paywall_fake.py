"""`manage.py paywall_fake --payments 1000000`: a year of trade to look at. For demos only."""

from __future__ import annotations

import random
import sys
from datetime import date
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections, transaction

from paywall import business_days, durable
from paywall.management.progress import bar
from paywall.models import Account, Price, Resource, VisitorDay
from paywall.rails.evm.terms import account_for
from paywall.reports import rollups
from site_demo.magazine import fake
from site_demo.magazine.fake import Till, Ware, Year

SELLER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
PRICES = [Decimal(price) for price in ("0.001", "0.01", "0.05", "0.10", "0.25", "1.00", "4.00")]


class Command(BaseCommand):
    help = (
        "Write a realistic year of payments, the same for the same arguments. Nothing of it is "
        "on any chain: for demos, never beside real payments."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--payments", type=int, default=100_000)
        parser.add_argument("--resources", type=int, default=300)
        parser.add_argument("--until", type=date.fromisoformat, help="A date; today by default.")
        parser.add_argument("--seed", type=int, default=402)

    def handle(self, *args: Any, **options: Any) -> None:
        if min(options["payments"], options["resources"]) < 1:
            raise CommandError("At least one payment and one resource.")
        tills = self._tills()
        wares = self._wares(options["resources"], options["seed"])
        until = options["until"] or business_days.today()
        year = Year(options["payments"], until, wares, tills, options["seed"])
        try:
            with transaction.atomic(using=durable.alias()):
                fake.write(year, bar(sys.stderr, "payments"))
        except Exception as error:
            raise CommandError(
                f"This year was written already, it seems (choose another --seed): {error}"
            ) from error
        visits = fake.visits(wares, until, options["payments"], options["seed"])
        VisitorDay.objects.bulk_create(visits, ignore_conflicts=True, batch_size=1000)
        if connections[durable.alias()].vendor == "postgresql":
            with connections[durable.alias()].cursor() as cursor:
                cursor.execute("ANALYZE")
        self.stdout.write(f"{options['payments']} payments up to {until}.")
        days = rollups.rebuild(bar(sys.stderr, "days"))
        self.stdout.write(f"{days} days were added up.")

    def _tills(self) -> list[Till]:
        found = []
        for key, weight in (("usdc-base", 62), ("usdc-polygon", 24), ("eurc-base", 14)):
            account = account_for(key, SELLER, enabled=False)
            account.clean()
            same = Account.objects.filter(rail=account.rail, identity=account.identity).first()
            if same is None:
                account.save()
            found.append(Till(same or account, weight))
        return found

    def _wares(self, number: int, seed: int) -> list[Ware]:
        rng = random.Random(seed)
        slugs = [f"fake-{index:06}" for index in range(1, number + 1)]
        resources = []
        for index, slug in enumerate(slugs):
            policy = ("after", "after", "after", "before", "background")[index % 5]
            title = f"{_TITLES[index % len(_TITLES)]}, No. {index // len(_TITLES) + 1}"
            resources.append(Resource(slug=slug, title=title, policy=policy))
        Resource.objects.bulk_create(resources, ignore_conflicts=True, batch_size=1000)
        keys = dict(Resource.objects.filter(slug__startswith="fake-").values_list("slug", "pk"))
        wares, prices = [], []
        priced = set(Price.objects.values_list("resource_id", flat=True).distinct())
        for index, resource in enumerate(resources):
            price = PRICES[0] if resource.policy == "background" else rng.choice(PRICES[1:])
            pk = keys[resource.slug]
            if pk not in priced:
                prices += [Price(resource_id=pk, amount=price, currency=c) for c in ("USD", "EUR")]
            weight = 1 / (index + 3) ** 0.9
            wares.append(
                Ware(pk, resource.slug, resource.title, str(resource.policy), price, weight)
            )
        Price.objects.bulk_create(prices, batch_size=1000)
        return wares


_TITLES = [
    "Letters from the Lock-keeper",
    "A Field Guide to Harbours",
    "The Patience of Clocks",
    "Rain on Slate",
    "What the Ferry Knew",
    "Bread and Its Debts",
    "Notes on Quiet Rooms",
    "The Cartographer's Tea",
    "Salt Roads",
    "An Atlas of Small Winds",
    "Winter Ledger",
    "The Long Way to the Well",
]
