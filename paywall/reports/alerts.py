"""What the owner is told: found by state, written once, sent until it arrives.

An alert's key says what it is about, so that a round that finds the same again writes nothing;
its messages are rows, so that what cannot be sent now is sent later. Webhooks are signed as
standardwebhooks.com has it: `webhook-signature: v1,` and the base64 of the HMAC-SHA-256 of
"id.timestamp.body".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from collections import Counter
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import httpx
from django.core.mail import send_mail
from django.db.models import Sum
from django.utils import timezone

from paywall import business_days, conf, durable
from paywall.exceptions import LedgerUnavailable
from paywall.holders import throttle
from paywall.ledger import exposure
from paywall.logs import plain
from paywall.models import (
    Alert,
    AlertMessage,
    AlertRecipient,
    Balance,
    BuyerDay,
    FacilitatorHealth,
    FailureDay,
    Order,
    Payment,
    Refund,
    SalesDay,
    Tally,
)
from paywall.models.exposure import in_currency
from paywall.models.orders import NEEDS_A_LOOK
from paywall.models.payments import State
from paywall.money import money
from paywall.rails import registry
from paywall.rails.base import Troubles
from paywall.reports import status
from paywall.settlement.facilitators import health
from paywall.vocabulary import News

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

LOOK_BACK = timedelta(days=7)
"""Older losses are not news: a site that turns alerts on is not told of its past."""

SUMMARY_HOUR = 6
"""Local hour from which the day before is summed up: late settlements are in by then."""

ATTEMPTS = 12
WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=6)
TIMEOUT = 10.0
AT_ONCE = 50


def tell() -> Counter[str]:
    """Raise what is new, and send what is due. Returns how many were "raised", "sent", "failed"."""
    counts: Counter[str] = Counter()
    if not addresses():
        return counts
    for source in _SOURCES:
        # What one of them cannot say keeps nobody from hearing the others.
        try:
            for news in source():
                counts["raised"] += raise_(news)
        except Exception:
            log.exception("Looking for news failed: %s", source.__name__)
    for message in _take_some():
        try:
            counts["sent" if _deliver(message) else "failed"] += 1
        except LedgerUnavailable as error:
            # It is sent again later, twice perhaps: better than never.
            log.warning(
                "alert=%s: that it was sent could not be noted: %s", message.alert_id, error
            )
    return +counts


def addresses(kind: str = Alert.Kind.TEST) -> list[tuple[str, str]]:
    """By which channel alerts of a kind go, and where: as the settings say, and the desk. A test
    goes to everybody."""
    settings = conf.get()
    rows = AlertRecipient.objects.using(durable.alias())
    if kind != Alert.Kind.TEST:
        rows = rows.filter(**{"summaries" if kind == Alert.Kind.SUMMARY else "troubles": True})
    wanted = dict.fromkeys([*settings.alert_emails, *rows.values_list("email", flat=True)])
    found = [(AlertMessage.Channel.EMAIL.value, to) for to in wanted]
    if settings.alert_webhook_url:
        found.append((AlertMessage.Channel.WEBHOOK.value, settings.alert_webhook_url))
    return found


@durable.write
def raise_(news: News) -> bool:
    """Write an alert and its messages; whether it is a new one."""
    alert, is_new = Alert.objects.using(durable.alias()).get_or_create(
        key=news.key,
        defaults={
            "kind": news.kind,
            "title": news.title[:200],
            "text": news.text,
            "data": dict(news.data),
            "payment_id": news.payment_id,
        },
    )
    if is_new:
        messages = [AlertMessage(alert=alert, channel=by, to=to) for by, to in addresses(news.kind)]
        AlertMessage.objects.using(durable.alias()).bulk_create(messages)
        log.warning("alert=%s %s", alert.pk, news.title)
    return is_new


# --------------------------------------------------------------------------------- News


def _losses() -> Iterator[News]:
    """Lost payments, and what was delivered on credit and never paid."""
    since = timezone.now() - LOOK_BACK
    payments = Payment.objects.using(durable.alias()).losses().filter(closed_at__gte=since)
    told = Alert.objects.using(durable.alias()).filter(kind=Alert.Kind.LOST).values("payment")
    untold = payments.exclude(pk__in=told.filter(payment__isnull=False)).order_by("closed_at")
    for payment in untold[:AT_ONCE]:
        was = "was lost" if payment.state == State.LOST else "was delivered and never paid"
        yield News(
            f"lost:{payment.pk}",
            Alert.Kind.LOST,
            f"Payment #{payment.pk} of {payment.cost} {was}",
            f"{payment.method} {payment.url}\nReason: {payment.error_code} "
            f"{payment.error_detail}\nWallet: {payment.payer}\n"
            f"Transaction: {payment.reference or 'none'}\nWhat it opened is closed.",
            {
                "payment": payment.pk,
                "state": payment.state,
                "price": str(payment.price),
                "currency": payment.currency,
                "code": payment.error_code,
                "payer": payment.payer,
                "transaction": payment.reference,
                "url": payment.url,
            },
            payment.pk,
        )


def _facilitators() -> Iterator[News]:
    rows = FacilitatorHealth.objects.using(durable.alias()).filter(failures__gte=health.FAILURES)
    for failing in rows:
        yield News(
            # Once a day, however often it comes and goes.
            f"facilitator:{failing.name}:{business_days.day_of(failing.changed_at)}",
            Alert.Kind.FACILITATOR,
            f"The facilitator {failing.name} is down",
            f"It failed {failing.failures} times in a row. Last: {failing.last_trouble}",
            {"facilitator": failing.name, "failures": failing.failures},
        )


def _credit() -> Iterator[News]:
    """Half of what may be lost on credit in a day is lost."""
    limit = conf.get().exposure_total
    for currency, units in exposure.lost_today().items():
        lost = in_currency(units)
        if lost * 2 >= limit:
            yield News(
                f"credit:{currency}:{business_days.today()}",
                Alert.Kind.CREDIT,
                f"{money(lost)} {currency} were lost on credit within a day",
                f"What may be lost so in a day is {money(limit)} {currency} (EXPOSURE_TOTAL); then "
                "everything is settled before it is delivered.",
                {"currency": currency, "lost": str(lost), "limit": str(limit)},
            )


def _asked_back() -> Iterator[News]:
    """Balances whose holders would have the rest refunded."""
    rows = Balance.objects.using(durable.alias()).filter(asked_back_at__isnull=False)
    for balance in rows.order_by("-pk")[:AT_ONCE]:
        left = balance.worth
        yield News(
            f"asked back:{balance.pk}:{balance.asked_back_at:%Y-%m-%dT%H:%M:%S}",
            Alert.Kind.ASKED_BACK,
            f"Balance #{balance.pk}: its holder asks for {left} back",
            "Refund what is left: in the admin, under Balances.",
            {"balance": balance.pk, "left": left},
        )


def _guesses() -> Iterator[News]:
    most = throttle.COUPON_GUESSES.most
    rows = Tally.objects.using(durable.alias()).filter(
        scope__startswith=f"{throttle.COUPON_GUESSES.name} ", count__gte=most
    )
    for tally in rows.filter(ends_at__gt=timezone.now())[:AT_ONCE]:
        where = tally.scope.partition(" ")[2]
        yield News(
            f"{tally.scope}:{business_days.today()}",
            Alert.Kind.COUPON,
            f"Coupons are guessed from {where}",
            f"{tally.count} wrong ones of late. Coupons from there are not looked at for a while.",
            {"from": where, "guesses": tally.count},
        )


def _refunds() -> Iterator[News]:
    rows = Refund.objects.using(durable.alias()).filter(state=Refund.State.UNCLEAR)
    for refund in rows.select_related("payment")[:AT_ONCE]:
        yield News(
            f"refund:{refund.pk}",
            Alert.Kind.REFUND,
            f"Refund #{refund.pk} of payment #{refund.payment_id} is unclear",
            f"{refund.error_detail}\nLook whether it went out; if not, close it in the admin, with "
            "a reason. Until then what it is about cannot be refunded otherwise.",
            {"refund": refund.pk, "payment": refund.payment_id, "transaction": refund.reference},
            refund.payment_id,
        )


def _misfits() -> Iterator[News]:
    """Money that came for an order and does not fit it."""
    since = timezone.now() - LOOK_BACK
    rows = Order.objects.using(durable.alias()).filter(NEEDS_A_LOOK, created_at__gte=since)
    for order in rows.prefetch_related("misfits").order_by("created_at")[:AT_ONCE]:
        for payment in order.misfits.all():
            yield News(
                f"misfit:{payment.pk}",
                Alert.Kind.MISFIT,
                f"Payment #{payment.pk} does not fit its order",
                f"Order {order.public_id} of {order.cost}: {order.trouble}\nTransaction: "
                f"{payment.reference}\nIt opens nothing. Refund it, or make its buyer a gift link.",
                {
                    "payment": payment.pk,
                    "order": order.public_id,
                    "transaction": payment.reference,
                },
                payment.pk,
            )


def _rails() -> Iterator[News]:
    """What the rails have to say."""
    for rail in registry.who_can(Troubles):
        try:
            yield from rail.news()
        except Exception:
            log.exception("Looking for news failed: rail %s", rail)


def _behind() -> Iterator[News]:
    if not status.is_keeping_up():
        hour = timezone.localtime(timezone.now(), conf.get().owners_zone())
        yield News(
            f"behind:{hour:%Y-%m-%d %H}",
            Alert.Kind.BEHIND,
            "The engine is behind",
            "Payments wait to be settled or confirmed for more than a minute.",
        )


def _summary() -> Iterator[News]:
    """What yesterday brought."""
    now = timezone.localtime(timezone.now(), conf.get().owners_zone())
    if now.hour < SUMMARY_HOUR:
        return
    day = business_days.today() - timedelta(days=1)
    key = f"summary:{day}"
    if Alert.objects.using(durable.alias()).filter(key=key).exists():
        return
    yield _summed_up(key, day)


def _summed_up(key: str, day: date) -> News:
    using = durable.alias()
    days = SalesDay.objects.using(using).filter(day=day).order_by("currency")
    rows = list(
        days.values("currency").annotate(
            n=Sum("sales"),
            revenue=Sum("revenue_units"),
            waiting=Sum("unconfirmed"),
            back=Sum("refunded_units"),
        )
    )
    failures = FailureDay.objects.using(using).filter(day=day)
    failed = failures.aggregate(n=Sum("payments"))["n"] or 0
    buyers = BuyerDay.objects.using(using).filter(day=day).aggregate(n=Sum("buyers"))["n"] or 0
    sales = sum(row["n"] for row in rows)
    revenue = [f"{_money(row['revenue'])} {row['currency']}" for row in rows] or ["nothing"]
    lines = [f"Sales: {sales}", f"Buyers: {buyers}", f"Revenue: {', '.join(revenue)}"]
    refunded = [f"{_money(row['back'])} {row['currency']}" for row in rows if row["back"]]
    if refunded:
        lines.append(f"Refunded of it: {', '.join(refunded)}")
    waiting = sum(row["waiting"] for row in rows)
    lines += [f"Not confirmed yet: {waiting}", f"Failed: {failed}"]
    data = {
        "day": day.isoformat(),
        "sales": sales,
        "buyers": buyers,
        "failed": failed,
        "revenue": {row["currency"]: _money(row["revenue"]) for row in rows},
    }
    return News(key, Alert.Kind.SUMMARY, f"{day}: {', '.join(revenue)}", "\n".join(lines), data)


def _money(units: int) -> str:
    return money(in_currency(units))


def test() -> bool:
    """Raise a test, so that the owner sees that alerts arrive."""
    now = timezone.now()
    return raise_(
        News(
            f"test:{now.isoformat()}",
            Alert.Kind.TEST,
            "A test of the paywall's alerts",
            "If you can read this, alerts arrive.",
        )
    )


# ------------------------------------------------------------------------------ Sending


@durable.write
def _take_some() -> list[AlertMessage]:
    """Messages that are due, put off as if they failed: who dies while sending sends later."""
    now = timezone.now()
    rows = AlertMessage.objects.using(durable.alias()).select_related("alert")
    due = rows.filter(due_at__lte=now, sent_at__isnull=True, given_up_at__isnull=True)
    taken = []
    for message in due.order_by("due_at")[:AT_ONCE]:
        wait = min(WAIT * 2**message.attempts, LONGEST_WAIT)
        if rows.filter(pk=message.pk, attempts=message.attempts).update(
            attempts=message.attempts + 1, due_at=now + wait
        ):
            message.attempts += 1
            taken.append(message)
    return taken


def _deliver(message: AlertMessage) -> bool:
    try:
        _SENDERS[message.channel](message)
    except Exception as error:
        # Mail backends have exceptions of their own.
        trouble = plain(f"{type(error).__name__}: {error}")
        log.warning("alert=%s not sent to %s: %s", message.alert_id, message.channel, trouble)
        given_up = timezone.now() if message.attempts >= ATTEMPTS else None
        _note(message, trouble=trouble, given_up_at=given_up)
        return False
    _note(message, trouble="", sent_at=timezone.now())
    return True


@durable.write
def _note(message: AlertMessage, **changes: Any) -> None:
    AlertMessage.objects.using(durable.alias()).filter(pk=message.pk).update(**changes)


def _send_mail(message: AlertMessage) -> None:
    title = " ".join(message.alert.title.split())
    send_mail(f"[Paywall] {title}", message.alert.text, None, [message.to])


def _send_webhook(message: AlertMessage) -> None:
    """Raises `httpx.HTTPError`, also for an answer that is no 2xx."""
    alert = message.alert
    body = json.dumps(
        {
            "type": f"paywall.{alert.kind}",
            "timestamp": alert.created_at.isoformat(),
            "data": {"title": alert.title, "text": alert.text, **alert.data},
        }
    )
    moment = str(int(timezone.now().timestamp()))
    headers = {
        "Content-Type": "application/json",
        "webhook-id": f"alert_{alert.pk}",
        "webhook-timestamp": moment,
        "webhook-signature": signature(f"alert_{alert.pk}", moment, body),
    }
    response = httpx.post(message.to, content=body, headers=headers, timeout=TIMEOUT)
    if not response.is_success:
        raise httpx.HTTPError(f"it answered {response.status_code}")


def signature(id_: str, moment: str, body: str) -> str:
    """As standardwebhooks.com has it."""
    signed = f"{id_}.{moment}.{body}".encode()
    digest = hmac.new(conf.get().webhook_secret(), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


_SENDERS = {"email": _send_mail, "webhook": _send_webhook}
_SOURCES = (
    _losses,
    _credit,
    _facilitators,
    _rails,
    _refunds,
    _misfits,
    _asked_back,
    _guesses,
    _behind,
    _summary,
)
