"""Messages as files: a worker that looks while one is written sees nothing yet."""

from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection

from config.celery import app


@pytest.fixture
def channel(tmp_path: Path) -> Any:
    folders = {name: tmp_path / name for name in ("data_folder_in", "control_folder", "processed_folder")}
    for folder in folders.values():
        folder.mkdir()
    options = {name: str(folder) for name, folder in folders.items()}
    options["data_folder_out"] = options["data_folder_in"]
    with Connection("filesystem://localhost/", transport_options=options) as connection:
        assert type(connection.transport).__module__ == "config.broker", (
            app
        )  # taken over where the application is
        yield connection.default_channel


def test_a_message_is_there_once_it_is_whole(channel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, seen = Path.replace, []

    def looked_at(self: Path, target: Path) -> Path:
        with pytest.raises(Empty):
            channel._get("celery")
        seen.append(self.read_text())
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", looked_at)
    channel._put("celery", {"body": "ä"})
    assert len(seen) == 1
    assert channel._get("celery") == {"body": "ä"}
    with pytest.raises(Empty):
        channel._get("celery")


def test_a_folder_that_cannot_be_written_is_said(channel: Any) -> None:
    channel.data_folder_out = "/nowhere/at/all"
    with pytest.raises(Exception, match="Cannot add the message"):
        channel._put("celery", {})
