"""`manage.py seed_demo`: a working shop for whatever the environment says. Idempotent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from paywall import conf
from paywall.catalog import declarations
from paywall.models import Account, Audience, Meter, Price, Resource
from paywall.rails.card.terms import account_for as card_account_for
from paywall.rails.evm import networks
from paywall.rails.evm.terms import account_for
from paywall.rails.evm.tokens import find_token
from site_demo.magazine.articles import ARTICLES
from site_demo.magazine.models import Article

PLAY_MONEY_ADDRESS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
"""The second account of every development chain: its key is public."""


class Command(BaseCommand):
    help = "Fill the magazine: an account from the environment, resources, prices and articles."

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        account = self._account()
        self.stdout.write(f"Account: {account}")
        self._cards()
        declarations.sync()
        for text in ARTICLES:
            self._article(text)
        self._meter()
        self._path_rule()
        self._ahead()
        for resource in Resource.objects.all():
            self._in_currency_of(account, resource)
        self.stdout.write(f"Articles: {Article.objects.count()}")
        if settings.DEBUG:
            self._superuser()
        if not settings.PAYWALL.get("RPC_URLS"):
            self.stdout.write(
                self.style.WARNING(
                    "PAYWALL_RPC_URL is not set: payments will be taken, but none confirmed."
                )
            )

    def _account(self) -> Account:
        network, asset = settings.PAYWALL_NETWORK, settings.PAYWALL_ASSET
        pay_to = settings.PAYWALL_PAY_TO
        if not asset:
            raise CommandError(f"Set PAYWALL_ASSET: no USDC is known on {network}.")
        if not pay_to:
            if not networks.is_testnet(network):
                raise CommandError("Set PAYWALL_PAY_TO to your address: this is real money.")
            pay_to = PLAY_MONEY_ADDRESS
            self.stdout.write(f"PAYWALL_PAY_TO is not set: play money goes to {pay_to}.")
        token = find_token(network, asset)
        if token is not None:
            account = account_for(token.key, pay_to)
        else:
            account = Account(
                rail="evm",
                network=network,
                symbol="USDC",
                terms={
                    "asset": asset,
                    "pay_to": pay_to,
                    "eip712_name": "USDC",
                    "eip712_version": "2",
                    "confirmations": 1,
                },
            )
        try:
            account.clean_fields()
            account.clean()
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        same = Account.objects.filter(rail=account.rail, identity=account.identity).first()
        if same is None:
            account.save()
        else:
            account = same
            account.enabled = True
            account.save()
        for other in Account.objects.filter(rail="evm", enabled=True).exclude(pk=account.pk):
            other.enabled = False
            other.save()
        return account

    def _cards(self) -> None:
        """Cards for what costs enough, with a key of Stripe's in the environment."""
        cards = conf.get().cards()
        made = card_account_for("USD", cards.is_test) if cards is not None else None
        known = Account.objects.filter(rail="card")
        if made is not None and not known.filter(network=made.network, currency="USD").exists():
            made.order = 1
            made.save()
        for account in known:
            enabled = made is not None and account.network == made.network
            if account.enabled != enabled:
                account.enabled = enabled
                account.save()
        if made is not None:
            self.stdout.write(f"Account: {made}")

    def _in_currency_of(self, account: Account, resource: Resource) -> None:
        """A price in the account's currency, if the environment chose another coin."""
        price = resource.current_price()
        if price is not None and resource.current_price(account.currency) is None:
            Price.objects.create(resource=resource, amount=price.amount, currency=account.currency)

    def _article(self, text: dict[str, str]) -> None:
        words: dict[str, Any] = {key: text[key] for key in ("title", "author", "teaser")}
        # Lines of the file are not lines of the page.
        paragraphs = text["body"].split("\n\n")
        words["body"] = "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)
        words["in_part"] = bool(text.get("in_part"))
        article, _ = Article.objects.get_or_create(slug=text["slug"], defaults=words)
        if article.paywall_resource is None:
            slug = f"article-{article.slug}"
            article.sell(
                Decimal(text["price"]), slug=slug, description=article.teaser, access="forever"
            )

    def _meter(self) -> None:
        """So many articles a month are free for each browser: as many as the environment says."""
        uses = getattr(settings, "PAYWALL_FREE_ARTICLES", 0)
        meter = Meter.objects.filter(name="Articles").first()
        if meter is None and uses:
            meter = Meter(name="Articles")
        if meter is not None:
            meter.active, meter.uses = bool(uses), uses or meter.uses
            meter.save()
        for article in Article.objects.prefetch_related("paywall_resources"):
            resource = article.paywall_resource
            if resource is not None and meter is not None and resource.meter_id != meter.pk:
                resource.meter = meter
                resource.save()

    def _path_rule(self) -> None:
        """The archive is sold by its path; its view knows nothing of it. Three a day are free."""
        archive, is_new = Resource.objects.get_or_create(
            slug="archive",
            defaults={
                "title": "The archive",
                "description": "Every number since the first, page by page.",
                "mime_type": "text/html",
                "path": "/archive/**",
            },
        )
        if is_new:
            Price.objects.create(resource=archive, amount=Decimal("0.02"), currency="USD")
            visitors, _ = Audience.objects.get_or_create(
                name="Every visitor", defaults={"kind": Audience.Kind.EVERYONE}
            )
            Price.objects.create(
                resource=archive,
                audience=visitors,
                amount=0,
                free_uses=3,
                free_per=Price.FreePer.ADDRESS,
                free_every=Price.FreeEvery.DAY,
            )

    def _ahead(self) -> None:
        """What goes onto a balance: a card takes no ten cents."""
        ahead, is_new = Resource.objects.get_or_create(
            slug="ten-articles",
            defaults={
                "title": "Ten articles",
                "description": "A dollar ahead, for whatever you read here.",
                "mime_type": "text/html",
                "access": Resource.Access.BALANCE,
                "policy": Resource.Policy.BEFORE,
            },
        )
        if is_new:
            Price.objects.create(resource=ahead, amount=Decimal("1.00"), currency="USD")

    def _superuser(self) -> None:
        User = get_user_model()  # noqa: N806
        if not User.objects.filter(username="demo").exists():
            User.objects.create_superuser("demo", "demo@example.com", "demo")
        self.stdout.write("Admin: demo / demo (because DEBUG is on)")
