"""The alerting rules and the dashboard of docs/production ask for metrics that there are."""

from __future__ import annotations

import json
import re

from tests.test_docs import ROOT

FILES = ROOT / "docs" / "production"
PANELS = json.loads((FILES / "grafana.json").read_text())["panels"]
RULES = (FILES / "alerts.yaml").read_text()


def known() -> dict[str, set[str]]:
    """The metrics by name, as Prometheus sees them, with their labels."""
    source = (ROOT / "paywall" / "reports" / "metrics.py").read_text()
    found = {}
    for kind, name, rest in re.findall(
        r'(Counter|Histogram|_family|GaugeMetricFamily)\(\s*"(paywall_\w+)",(.*?)\n?\s*\)\n',
        source,
        re.DOTALL,
    ):
        labels = set(re.findall(r'"(\w+)"', rest[rest.rfind("[") :])) if "[" in rest else set()
        suffixes = {"Counter": ["_total"], "Histogram": ["_bucket", "_sum", "_count"]}
        for suffix in suffixes.get(kind, [""]):
            found[name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    return found


def expressions() -> list[str]:
    asked = [target["expr"] for panel in PANELS for target in panel["targets"]]
    rules = re.findall(r"expr: (?:>-\n)?(.*?)\n\s+(?:for|labels):", RULES, re.DOTALL)
    return asked + rules


def test_there_are_metrics_to_ask_for():
    assert known()["paywall_moves_total"] == {"state", "reason"}
    assert known()["paywall_gas_balance"] == {"network", "address"}
    assert len(expressions()) == sum(len(p["targets"]) for p in PANELS) + RULES.count("- alert:")


def test_every_expression_asks_for_what_there_is():
    for text in expressions():
        names = re.findall(r"paywall_\w+", text)
        assert names, text
        assert set(names) <= known().keys(), text
        grouped = {w for by in re.findall(r"by \(([^)]*)\)", text) for w in by.split(", ")}
        matched = set(re.findall(r"[{,](\w+)=", text))
        assert grouped | matched <= set().union(*(known()[name] for name in names)), text
        assert text.count("(") == text.count(")"), text


def test_every_metric_is_on_the_dashboard():
    shown = " ".join(target["expr"] for panel in PANELS for target in panel["targets"])
    for name in known():
        if not name.endswith(("_sum", "_count")):
            assert name in shown, name


def test_every_alert_says_what_to_do():
    for rule in RULES.split("- alert:")[1:]:
        assert re.search(r"summary: \S", rule), rule
        assert re.search(r"action: \S", rule), rule
        assert re.search(r"severity: (page|ticket)", rule), rule


def test_panels_do_not_lie_on_each_other():
    taken = set()
    for panel in PANELS:
        at = panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in taken, panel["title"]
                taken.add((x, y))
