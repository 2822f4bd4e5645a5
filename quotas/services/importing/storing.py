"""Uploaded files, kept in pieces in the database, so that any worker reads what any web process took in."""

import hashlib
import io
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final, cast

from quotas.models import ImportPiece, SalesImport

PIECE: Final = 1024**2
KEPT: Final = 4  # pieces that a reader has at hand: a ZIP is read from its end and from its middle


def store(run: SalesImport, pieces: Iterable[bytes]) -> None:
    """Write the file down piece by piece, and give *run* its size and digest; neither is saved here."""
    digest, size = hashlib.sha256(), 0
    for ordinal, piece in enumerate(_cut(pieces)):
        digest.update(piece)
        size += len(piece)
        ImportPiece.objects.create(run=run, ordinal=ordinal, content=zlib.compress(piece, 1))
    run.digest, run.bytes = digest.hexdigest(), size


def _cut(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of one size, so that a place in the file says which piece it is in."""
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) >= PIECE:
            yield bytes(held[:PIECE])
            del held[:PIECE]
    if held:
        yield bytes(held)


def stored_file(run: SalesImport) -> BinaryIO:
    """The file of an import, to read and to seek in; holds a few pieces of it at a time."""
    return cast(BinaryIO, io.BufferedReader(_Stored(run), buffer_size=256 * 1024))


class _Stored(io.RawIOBase):
    def __init__(self, run: SalesImport) -> None:
        self._run, self._size, self._at = run, run.bytes, 0
        self._pieces: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError("seek before the beginning of the file")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        ordinal, offset = divmod(self._at, PIECE)
        if self._at >= self._size:
            return 0
        found = self._piece(ordinal)[offset : offset + len(buffer)]
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def _piece(self, ordinal: int) -> bytes:
        if ordinal in self._pieces:
            self._pieces.move_to_end(ordinal)
            return self._pieces[ordinal]
        stored = ImportPiece.objects.values_list("content", flat=True).get(run=self._run, ordinal=ordinal)
        self._pieces[ordinal] = piece = zlib.decompress(bytes(stored))
        if len(self._pieces) > KEPT:
            self._pieces.popitem(last=False)
        return piece
