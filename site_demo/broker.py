"""Kombu's broker in a folder, for a site without one: a message appears there when it is whole.

Kombu's own writes in place, so that a worker that looks at that moment reads an empty message,
and ends.
"""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    def _put(self, queue: str, message: Any, **_: Any) -> None:  # type: ignore[override]
        name = f"{time.monotonic_ns()}_{uuid.uuid4()}.{queue}.msg"
        folder = Path(self.data_folder_out)
        aside = folder / f".{name}.part"  # a name that no reader takes for a message
        try:
            aside.write_text(dumps(message))
            aside.replace(folder / name)
        except OSError as error:
            raise ChannelError(f"{name} cannot be written to {folder}") from error


class Transport(filesystem.Transport):
    Channel = Channel
