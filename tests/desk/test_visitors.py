"""The desk: rules for visitors, and who knocks."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry

from paywall import business_days
from paywall.models import BotSource, VisitorDay, VisitorRule

pytestmark = pytest.mark.django_db


@pytest.fixture
def visited(item):
    def make(kind: str, bot: str = "", purpose: str = "", **counts: int) -> VisitorDay:
        return VisitorDay.objects.create(
            day=business_days.today(),
            resource=item,
            kind=kind,
            bot=bot,
            purpose=purpose,
            currency="USD",
            **counts,
        )

    return make


class TestWhoKnocks:
    def test_nothing_yet(self, owner):
        text = owner.get("/dashboard/visitors/").content.decode()
        assert "Nothing in these days." in text
        assert "CRAWL_LOG" in text

    def test_figures(self, owner, visited, paywall_settings):
        paywall_settings(CRAWL_LOG=True)
        visited("paying", paid=3, revenue_units=3_000_000)
        visited("verified", "GPTBot", "train", asked=20, monitored=7, missed_units=7_000_000)
        visited("claimed", "GPTBot", "train", asked=5, refused=2)
        visited("browser", asked=1_000, free=4)
        text = " ".join(owner.get("/dashboard/visitors/").content.decode().split())
        assert "CRAWL_LOG" not in text
        for told in (
            "<strong>1,041</strong>",
            "0.03 USD",
            "0.07 USD would have been paid",
            "bots that prove to be it, artificial intelligence",
            "bots by their word alone, artificial intelligence",
        ):
            assert told in text, told
        readers = text[text.index("Who reads without paying</h2>") :]
        assert readers.index("GPTBot") < readers.index("browsers")
        assert "paying" not in readers.split("</thead>")[1].split("</table>")[0]

    def test_other_days(self, owner, visited):
        visited("browser", asked=17)
        VisitorDay.objects.update(day="2020-01-01")
        assert "Nothing in these days." in owner.get("/dashboard/visitors/").content.decode()
        url = "/dashboard/visitors/?period=range&from=2020-01-01&to=2020-01-02"
        assert "<strong>17</strong>" in owner.get(url).content.decode()

    def test_what_a_bot_calls_itself_is_text(self, owner, visited):
        visited("claimed", "<script>x</script>", asked=1)
        assert b"<script>x" not in owner.get("/dashboard/visitors/").content

    def test_monitor_mode_is_told_of(self, owner, item, sold, rule_for_all, paywall_settings):
        sold("one")
        for page in ("/dashboard/", "/dashboard/visitors/"):
            assert b"Monitor mode" not in owner.get(page).content
        rule_for_all()
        for page in ("/dashboard/", "/dashboard/visitors/"):
            assert b"Monitor mode" in owner.get(page).content
        VisitorRule.objects.all().delete()
        paywall_settings(MONITOR=True)
        assert b"Monitor mode" in owner.get("/dashboard/").content

    def test_who_may_not_look(self, staff):
        assert staff().get("/dashboard/visitors/").status_code == 403


@pytest.fixture
def rule_for_all(item):
    return lambda: VisitorRule.objects.create(who="everybody", action="monitor", resource=item)


class TestRules:
    URL = "/admin/paywall/visitorrule/"

    def test_one_is_made_and_changed(self, staff, item):
        client = staff("Paywall price editors")
        data = {"who": "train", "bot": "", "action": "refuse", "resource": "", "active": "on"}
        assert client.post(f"{self.URL}add/", data).status_code == 302
        made = VisitorRule.objects.get()
        assert "are refused" in client.get(self.URL).content.decode()
        client.post(f"{self.URL}{made.pk}/change/", {**data, "action": "pay"})
        assert "action: refuse → pay" in str(
            list(LogEntry.objects.values_list("change_message", flat=True))
        )

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"who": "one"}, "Name the bot"),
            ({"who": "everybody"}, "make the resource inactive"),
            ({"bot": "GPTBot"}, "for one bot only"),
        ],
    )
    def test_what_means_nothing(self, owner, changes, told):
        data = {"who": "train", "bot": "", "action": "refuse", "resource": "", "active": "on"}
        response = owner.post(f"{self.URL}add/", {**data, **changes})
        assert told in response.content.decode()
        assert not VisitorRule.objects.exists()

    def test_a_rule_that_nobody_can_prove_to_be_meant_by(self, owner, paywall_settings):
        data = {"who": "search", "bot": "", "action": "free", "resource": "", "active": "on"}
        told = owner.post(f"{self.URL}add/", data, follow=True).content.decode()
        assert "Nobody can prove to be a bot yet" in told
        VisitorRule.objects.all().delete()
        paywall_settings(BOTS={"Googlebot": {}})
        told = owner.post(f"{self.URL}add/", data, follow=True).content.decode()
        assert "Nobody can prove" not in told

    def test_sources_are_looked_at(self, staff):
        BotSource.objects.create(kind="addresses", url="https://a.example/list", error="status 500")
        client = staff("Paywall auditors")
        assert "status 500" in client.get("/admin/paywall/botsource/").content.decode()
        pk = BotSource.objects.get().pk
        assert client.get(f"/admin/paywall/botsource/{pk}/change/").status_code == 200
