"""Files that a job makes, one after another, handed out together as a ZIP.

A step keeps what it made in the transaction that moves the job on, so a worker that is killed leaves no half of a file and
nothing twice. The archive is put together while it is sent; nothing of it lies on a disk.
"""

import io
import re
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from config.models import Job, JobFile

LIFTED: Final = 50  # files that are read at once
COMPRESSED: Final = (".xlsx", ".zip", ".png")


def keep(job: Job, files: Iterable[tuple[str, bytes]]) -> int:
    """Keep named files behind those that the job has; returns how many it has then. A name must be its own. 2 queries."""
    had = JobFile.objects.filter(job=job).count()
    made = [
        JobFile(job=job, ordinal=had + at, name=safe(name), content=zlib.compress(content, 1))
        for at, (name, content) in enumerate(files)
    ]
    JobFile.objects.bulk_create(made, batch_size=200)
    return had + len(made)


def safe(name: str) -> str:
    """A name that every system unpacks, within the archive: no way out of it, nothing that a file system refuses."""
    parts = [re.sub(r'[\x00-\x1f<>:"\\|?*]+', "-", part).strip(". ") for part in name.split("/")]
    return "/".join(part for part in parts if part)[:200] or "file"


def zipped(job: Job, at: datetime) -> Iterator[bytes]:
    """The archive as it is to be sent. at is the time that its files bear. 1 query for each LIFTED files."""
    out = _Sent()
    bears = (max(at.year, 1980), at.month, at.day, at.hour, at.minute, at.second)
    with ZipFile(out, "w") as archive:
        begins = 0
        while True:
            some = list(JobFile.objects.filter(job=job, ordinal__gte=begins).order_by("ordinal")[:LIFTED])
            if not some:
                break
            begins = some[-1].ordinal + 1
            for each in some:
                info = ZipInfo(each.name, bears)
                info.compress_type = ZIP_STORED if each.name.endswith(COMPRESSED) else ZIP_DEFLATED
                info.external_attr = 0o640 << 16
                archive.writestr(info, zlib.decompress(each.content))
            yield out.taken()
    yield out.taken()


def forget(*, before: datetime) -> int:
    """Let go of the files of jobs that ended before a moment; returns how many. What they counted stays with the job."""
    return JobFile.objects.filter(job__finished_at__lt=before).delete()[0]


class _Sent(io.RawIOBase):
    """What was written since it was last taken; cannot be gone back in, and the archive does not need to."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._at = 0

    def writable(self) -> bool:
        return True

    def write(self, piece: object) -> int:
        content = bytes(piece)  # type: ignore[call-overload]  # any buffer
        self._held += content
        self._at += len(content)
        return len(content)

    def tell(self) -> int:
        return self._at

    def taken(self) -> bytes:
        found = bytes(self._held)
        self._held.clear()
        return found
