"""The broker of one machine: messages are files in a folder, whole from the moment they have their name.

kombu's own writes a file where it is looked for; a worker that takes it before its text is there finds it empty, and dies of it.
"""

from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    def _put(self, queue: str, payload: Any, **_options: Any) -> None:  # type: ignore[override]  # kombu disagrees with itself
        file = Path(self.data_folder_out) / f"{round(monotonic() * 1000)}_{uuid4()}.{queue}.msg"
        part = file.with_name(f"{file.name}.part")  # which no queue is called
        try:
            part.write_text(dumps(payload))
            part.replace(file)
        except OSError as failure:
            raise ChannelError(f"Cannot add the message {file.name} to its folder.") from failure


class Transport(filesystem.Transport):
    Channel = Channel


def take_over() -> None:
    """Addresses that begin with filesystem:// mean this broker."""
    TRANSPORT_ALIASES["filesystem"] = f"{__name__}:Transport"
