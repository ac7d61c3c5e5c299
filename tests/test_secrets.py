"""What opens a wallet, a node or a webhook is in no log, error page or crash report."""

from __future__ import annotations

import logging
import pickle
import sys
import traceback
from typing import Any

import httpx
import pytest
from django.test import RequestFactory
from django.views.debug import ExceptionReporter

from paywall import conf
from paywall.effects import run
from paywall.rails.evm import own_transactions, transactions
from paywall.rails.evm.rpc import Node, NodeError
from paywall.secret import Secret
from tests import doubles

KEY = "0x" + "4c" * 32
WORDS = {
    "GAS_KEY": KEY,
    "TREASURY_KEY": "0x" + "5d" * 32,
    "RECEIPT_KEY": "0x" + "6e" * 32,
    "RPC_URLS": {"eip155:84532": "https://node.example/v2/NODE-API-KEY?x=NODE-QUERY-KEY"},
    "FACILITATOR_URL": "https://facilitator.example/FACILITATOR-PATH-KEY",
    "FACILITATOR_TOKEN": "FACILITATOR-TOKEN-WORD",
    "FACILITATOR_CLIENTS": {"shop": "CLIENT-TOKEN-WORD"},
    "ALERT_WEBHOOK_URL": "https://hooks.example/WEBHOOK-PATH-KEY",
    "ALERT_WEBHOOK_SECRET": "whsec_" + "A" * 40,
    "METRICS_TOKEN": "METRICS-TOKEN-WORD",
}
SECRETS = [
    "4c" * 32,
    "5d" * 32,
    "6e" * 32,
    "NODE-API-KEY",
    "NODE-QUERY-KEY",
    "FACILITATOR-PATH-KEY",
    "FACILITATOR-TOKEN-WORD",
    "CLIENT-TOKEN-WORD",
    "WEBHOOK-PATH-KEY",
    "A" * 40,
    "METRICS-TOKEN-WORD",
]


def told(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


def test_settings_show_none_of_them():
    settings = conf.read(WORDS)
    assert told(repr(settings)) == []
    assert told(repr(settings.remotes())) == []
    assert settings.gas_key.reveal() == KEY


@pytest.mark.parametrize("key", [key for key in WORDS if key != "RPC_URLS"])
def test_an_error_about_a_setting_does_not_repeat_it(key):
    with pytest.raises(Exception, match=key) as caught:
        conf.read({**WORDS, key: [*SECRETS]})
    assert told(str(caught.value)) == []


def test_a_secret_is_no_string():
    secret = Secret(KEY)
    assert told(f"{secret} {secret!r} {[secret]} {{'k': {secret}}}") == []
    assert not isinstance(secret, str)
    assert (secret, bool(secret), bool(Secret())) == (Secret(KEY), True, False)
    assert "4c4c" not in repr(traceback.format_exception_only(ValueError(secret)))
    assert pickle.loads(pickle.dumps(secret)) == secret


def test_the_frames_of_a_refund_that_fails_show_no_key(db, monkeypatch, settings):
    """Crash reporters keep the local variables of every frame."""
    settings.PAYWALL = {**settings.PAYWALL, **WORDS}

    def broken(*_: Any) -> Any:
        raise RuntimeError("the node broke")
        yield

    monkeypatch.setattr(own_transactions, "fees_now", broken)
    key = conf.get().treasury_key
    try:
        run(own_transactions.write(key, "eip155:84532", "0x" + "1" * 40, "0x", 1, ["refund:1"]))
    except RuntimeError:
        trace = sys.exc_info()[2]
    frames = []
    while trace is not None:
        frames.append({name: repr(value) for name, value in trace.tb_frame.f_locals.items()})
        trace = trace.tb_next
    ours = [frame for frame in frames if "WORDS" not in frame and "settings" not in frame]
    assert len(ours) > 2
    assert told(str(ours)) == []
    assert transactions.wallet(key).address in str(frames)


def test_djangos_error_pages_show_none_of_them(settings):
    settings.PAYWALL = {**settings.PAYWALL, **WORDS}
    settings.DEBUG = False
    headers = {"Payment-Signature": "SIGNED-BY-A-BUYER", "Sign-In-With-X": "PROOF-OF-A-WALLET"}
    request = RequestFactory().get("/", headers=headers)
    reporter = ExceptionReporter(request, None, None, None)
    for report in (reporter.get_traceback_text(), reporter.get_traceback_html()):
        assert told(report) == []
        assert "SIGNED-BY-A-BUYER" not in report
        assert "PROOF-OF-A-WALLET" not in report


def test_the_http_library_logs_hosts_and_no_paths(caplog):
    """At INFO it would log every URL, with the keys that nodes have in them."""
    with doubles.facilitator() as double, caplog.at_level(logging.DEBUG):
        node = Node((f"{double.url}/v2/NODE-API-KEY?x=NODE-QUERY-KEY",), 2)
        with pytest.raises(NodeError):
            run(node.chain_id())
        httpx.get(f"{double.url}/NODE-API-KEY")
    assert [record for record in caplog.records if record.name == "httpx"]
    assert told(caplog.text) == []


def test_what_a_node_says_forges_no_line_of_the_log():
    from paywall.rails.evm.rpc import _error

    answer = {"error": {"code": -32000, "message": "no\nERROR payment=1 settled\r\x1b[2J"}}
    assert "\n" not in str(_error("eth_call", answer, 200))
    assert "\x1b" not in str(_error("eth_call", answer, 200))
