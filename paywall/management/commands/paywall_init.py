"""`manage.py paywall_init`: from an empty site to the first sale.

It asks, or takes flags: what you want to be paid in, where to, and who settles. It makes an
account and something to sell, says what to paste into the settings, and once that is there buys
from itself.
"""

from __future__ import annotations

import os
import secrets
import sys
from typing import TYPE_CHECKING, Any

import httpx
from django.conf import settings as django_settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.core.wsgi import get_wsgi_application
from django.urls import NoReverseMatch, reverse

from paywall import conf
from paywall.admin.accounts import filled_in
from paywall.catalog import sample
from paywall.models import Account
from paywall.presets import PRESETS
from paywall.rails import registry
from paywall.secret import Secret

from . import paywall_buy

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Sequence

    from paywall.rails.base import Coin


OWN = "own"
"""No third party: the site settles by itself, and pays for gas."""

SANDBOX = "sandbox"

KINDS = {
    SANDBOX: "none: play money inside this site, to try it out (begin here)",
    "test": "a test network, as real as it gets without real money",
    "main": "a main network, for real money",
}


class Command(BaseCommand):
    help = (
        "From an empty site to the first sale: asks (or takes flags) what you want to be paid in, "
        "to which wallet and by whom it is settled; makes an account and something to sell; says "
        "what to paste into the settings. Run it again after that, and on a test network it buys "
        f"from itself with the wallet whose key is in ${paywall_buy.KEY}."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--network", choices=list(KINDS))
        parser.add_argument("--coin", choices=[coin.key for coin in registry.coins()])
        parser.add_argument("--wallet", metavar="0x...", help="Where the money shall go.")
        parser.add_argument("--facilitator", choices=[*PRESETS, OWN], help="Who settles.")
        parser.add_argument("--no-input", action="store_true", help="Ask nothing.")
        parser.add_argument("--no-buy", action="store_true", help="Do not buy from yourself.")

    def handle(self, *args: Any, **options: Any) -> None:
        self._asks = not options["no_input"]
        kind, key = options["network"], options["coin"]
        if kind is None and key is None:
            kind = self._choose("On which network?", "--network", list(KINDS.items()))
        coin = None if kind == SANDBOX else self._coin(kind, key)
        if coin is None:
            self._sell(conf.get().currency)
            missing = self._paste_sandbox()
        else:
            facilitator = self._facilitator(coin, options["facilitator"])
            account = self._account(coin, options["wallet"])
            self._sell(account.currency)
            missing = self._paste(coin, facilitator)
        url = _sample_url()
        if url is None:
            missing = True
            self.stdout.write('\nAnd into urls.py:\n\n  path("paywall/", include("paywall.urls")),')
        if missing:
            self.stdout.write("\nRun this again when it is there.")
        elif not options["no_buy"]:
            assert url is not None
            self._buy(coin, url)
        self.stdout.write("\nmanage.py paywall_doctor says what is still missing.")

    # ------------------------------------------------------------------------ Asking

    def _choose(self, question: str, flag: str, options: Sequence[tuple[str, str]]) -> str:
        """The key of one of the options. Raises `CommandError` where nobody can be asked."""
        if len(options) == 1:
            return options[0][0]
        lines = "\n".join(f"  {n}. {text}" for n, (_, text) in enumerate(options, 1))
        by_number = {str(number): key for number, (key, _) in enumerate(options, 1)}
        return self._ask(f"{question}\n{lines}\n[1] ", flag, lambda text: by_number[text or "1"])

    def _ask(self, question: str, flag: str, read: Callable[[str], str]) -> str:
        """`read` raises `KeyError` for what it cannot take; then it is asked again."""
        if not self._asks:
            raise CommandError(f"Say {flag}: there is nobody to ask.")
        while True:
            self.stdout.write(question, ending="")
            self.stdout.flush()
            answer = sys.stdin.readline()
            if not answer:
                raise CommandError(f"Nobody answers. Say {flag}.")
            try:
                return read(answer.strip())
            except KeyError:
                self.stdout.write("That is not one of them.")

    def _coin(self, kind: str | None, key: str | None) -> Coin:
        """What is taken: of that kind of network, or by its key."""
        known = {coin.key: coin for coin in registry.coins()}
        if key is None:
            is_test = kind == "test"
            there = [coin for coin in known.values() if _is_test(coin) == is_test]
            options = [(coin.key, coin.label) for coin in there]
            key = self._choose("In what do you want to be paid?", "--coin", options)
        elif kind is not None and (kind == "test") != _is_test(known[key]):
            raise CommandError(f"{key} is not on a {kind} network.")
        return known[key]

    def _facilitator(self, coin: Coin, name: str | None) -> str:
        where = registry.network(coin.network).title
        can = [n for n, preset in PRESETS.items() if preset.settles_on(coin.network)]
        if name is None:
            # Who wants no key comes first; x402.org is there for tests alone.
            can.sort(key=lambda n: (not PRESETS[n].is_for_tests, len(PRESETS[n].keys)))
            options = [(n, _told(n)) for n in can]
            options.append((OWN, "your own site, with a key that pays for gas"))
            return self._choose("Who settles?", "--facilitator", options)
        if name != OWN and name not in can:
            only = " It is for test networks alone." if PRESETS[name].is_for_tests else ""
            raise CommandError(
                f"{PRESETS[name].title} does not settle on {where}.{only} "
                f"These do: {', '.join([*can, OWN])}."
            )
        return name

    # ------------------------------------------------------------------------ Making

    def _account(self, coin: Coin, wallet: str | None) -> Account:
        needs_another = conf.get().two_person_rule
        while True:
            asked = wallet is None
            pay_to = wallet or self._ask("Your wallet's address: ", "--wallet", str)
            on_network = Account.objects.filter(rail=coin.rail, network=coin.network)
            for known in on_network.filter(currency=coin.currency):
                if known.recipient.lower() == pay_to.lower():
                    self.stdout.write(f"There is an account already: {known}")
                    return known
            form = filled_in(coin, pay_to, enabled=not needs_another)
            if form.is_valid():
                account: Account = form.save()
                self.stdout.write(self.style.SUCCESS(f"Made an account: {account}"))
                if needs_another:
                    self.stdout.write("It is not enabled: the admin lets a second person do that.")
                return account
            trouble = " ".join(str(text) for texts in form.errors.values() for text in texts)
            if not asked:
                raise CommandError(trouble)
            self.stdout.write(self.style.ERROR(trouble))

    def _sell(self, currency: str) -> None:
        resource, is_new = sample.offer(currency)
        if is_new:
            self.stdout.write(self.style.SUCCESS(f"Something to sell: {resource}, {sample.PRICE}"))

    def _paste_sandbox(self) -> bool:
        if not conf.get().sandbox:
            self._say(['"SANDBOX": True,  # play money; taken away, it is not sold for any more'])
            if not django_settings.DEBUG:
                self.stdout.write("\nIt needs DEBUG = True.")
        return not conf.get().sandbox

    def _paste(self, coin: Coin, facilitator: str) -> bool:
        """Say what the settings lack. Whether it is anything."""
        settings = conf.get()
        lines = []
        if settings.sandbox:
            self.stdout.write('\nTake "SANDBOX" out of your settings: in it no money is taken.')
        if not settings.remotes():
            lines += _settles(facilitator)
        if not settings.rpc_nodes(coin.network):
            lines.append(f'"RPC_URLS": {{"{coin.network}": "{coin.node or "https://..."}"}},')
        if lines:
            self._say(lines)
        if facilitator == "coinbase" and lines:
            self.stdout.write("\nCoinbase signs with: pip install 'django-paywall[coinbase]'")
        if facilitator == OWN and lines:
            self.stdout.write("\nSettling by yourself: pip install 'django-paywall[onchain]'")
        return bool(lines) or settings.sandbox

    def _say(self, lines: Sequence[str]) -> None:
        text = "\n".join(f"    {line}" for line in lines)
        self.stdout.write(f"\nPaste into your settings:\n\nPAYWALL = {{\n{text}\n}}")

    # ------------------------------------------------------------------------ Buying

    def _buy(self, coin: Coin | None, url: str) -> None:
        if coin is not None and not _is_test(coin):
            self.stdout.write(f"\nReal money: nothing is bought here. {url} is for sale.")
            return
        if coin is not None and not os.environ.get(paywall_buy.KEY):
            self.stdout.write(
                f"\nFor a sale to yourself, put the key of a wallet with play money into "
                f"${paywall_buy.KEY} and run this again (https://faucet.circle.com has USDC)."
            )
            return
        self.stdout.write(f"\nBuying {url} from this site:")
        arguments = [url, "--yes", "--max", str(sample.PRICE)]
        command = WithinTheSite() if coin is not None else WithPlayMoney()
        call_command(command, *arguments, stdout=self.stdout, stderr=self.stderr)
        self.stdout.write(self.style.SUCCESS("\nThe first sale: see the dashboard."))


class WithinTheSite(paywall_buy.Command):
    """Through all of the site's middleware, and no server."""

    def client(self) -> httpx.Client:
        site = httpx.WSGITransport(app=get_wsgi_application())
        return httpx.Client(transport=site, follow_redirects=False)


class WithPlayMoney(WithinTheSite):
    """Any key will do."""

    def key(self) -> Secret:
        return Secret("0x" + secrets.token_hex(32))


def _is_test(coin: Coin) -> bool:
    return registry.network(coin.network).testnet


def _told(name: str) -> str:
    preset = PRESETS[name]
    keys = "wants an account there" if preset.keys else "wants no key"
    return f"{preset.title}: {'test networks alone, ' if preset.is_for_tests else ''}{keys}"


def _settles(facilitator: str) -> list[str]:
    """The lines of the settings that name who settles."""
    if facilitator == OWN:
        return ['"GAS_KEY": os.environ["PAYWALL_GAS_KEY"],']
    preset = PRESETS[facilitator]
    env = {key: f"{facilitator.upper()}_{key}" for key in preset.keys}
    keys = "".join(f', "{key}": os.environ["{name}"]' for key, name in env.items())
    return [f'"FACILITATORS": {{"{facilitator}": {{"PRESET": "{facilitator}"{keys}}}}},']


def _sample_url() -> str | None:
    """None where the paywall's URLs are not mounted."""
    try:
        path = reverse("paywall:sample")
    except NoReverseMatch:
        return None
    hosts = [host for host in django_settings.ALLOWED_HOSTS if not host.startswith((".", "*"))]
    scheme = "https" if django_settings.SECURE_SSL_REDIRECT else "http"
    return f"{scheme}://{hosts[0] if hosts else 'localhost'}{path}"
