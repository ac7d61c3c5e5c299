"""The demo's broker in a folder: a reader that looks all the time never meets half a message."""

from __future__ import annotations

import threading

import pytest
from kombu import Connection

from site_demo.broker import Transport

LONG = "x" * 200_000


def broker(folder):
    for name in ("messages", "control"):
        (folder / name).mkdir(exist_ok=True)
    messages = str(folder / "messages")
    options = {
        "data_folder_in": messages,
        "data_folder_out": messages,
        "control_folder": str(folder / "control"),
    }
    return Connection("filesystem://", transport=Transport, transport_options=options)


@pytest.mark.slow
def test_messages_arrive_whole_and_in_order(tmp_path):
    def publish():
        with broker(tmp_path).SimpleQueue("work") as queue:
            for number in range(200):
                queue.put({"number": number, "long": LONG})

    publisher = threading.Thread(target=publish)
    with broker(tmp_path).SimpleQueue("work") as queue:
        publisher.start()
        for number in range(200):
            message = queue.get(timeout=10)
            assert message.payload == {"number": number, "long": LONG}
            message.ack()
    publisher.join()
    assert not list((tmp_path / "messages").iterdir())
