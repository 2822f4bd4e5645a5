"""From bytes to values: what a file is is looked at before it is read, and everything that it may grow into is bounded."""

import codecs
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import yaml

from marketplace.importers.rows import Unreadable, WrongRow, shown

LARGEST: Final = 32 * 1024 * 1024
LARGEST_YAML: Final = 4 * 1024 * 1024
DEEPEST: Final = 24
MOST_ROWS: Final = 50_000
LONGEST_NUMBER: Final = 400

MAGIC: Final = (
    (b"PK\x03\x04", "a ZIP archive or a spreadsheet"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"SQLite format 3", "a database"),
)
_MARKS: Final = (  # longest first: UTF-32's begins like UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# Whole strings, so that a bracket inside one counts for nothing; possessive, so that no text takes more than one pass.
_STRINGS_AND_BRACKETS: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)|[{}\[\]]', re.DOTALL)


def text_of(content: bytes) -> str:
    """The text, whatever encoding it was saved in: UTF-8, UTF-16 or UTF-32 with their marks, else Windows-1252.

    Raises Unreadable for what is empty, too large or no text.
    """
    if len(content) > LARGEST:
        raise Unreadable(
            "too_large", f"The file is larger than {LARGEST // 1024**2} MB. Nothing of it was read."
        )
    if not content.strip():
        raise Unreadable("empty", "The file is empty.")
    for magic, name in MAGIC:
        if content.startswith(magic):
            raise Unreadable(
                "not_text", f"The file is {name}. Upload the text file that the source publishes."
            )
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            text = _decoded(content, encoding)
            if not text.strip():
                raise Unreadable("empty", "The file is empty.")
            return text
    if b"\x00" in content[:4096]:
        # UTF-16 without its mark: in Latin text every second byte is zero.
        for encoding, zeros in (("utf-16-le", content[1:4096:2]), ("utf-16-be", content[0:4096:2])):
            if zeros.count(0) > 0.8 * len(zeros):
                return _decoded(content, encoding)
        raise Unreadable("not_text", "The file holds binary data, not text.")
    try:
        return content.decode()
    except UnicodeDecodeError:
        return _decoded(content, "cp1252")


def _decoded(content: bytes, encoding: str) -> str:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as wrong:
        raise Unreadable(
            "encoding", "The file's text encoding is not known. Save it as UTF-8 and upload it again."
        ) from wrong
    if sum(not (c.isprintable() or c in "\r\n\t") for c in text[:20_000]) > 0.02 * len(text[:20_000]):
        raise Unreadable("not_text", "The file holds binary data, not text.")
    return text


class Repeated(dict[str, Any]):
    """A JSON object that has a name twice. pairs: everything it says, in order."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def json_of(content: bytes) -> Any:
    """The value, with decimals exactly as written; NaN and Infinity as such, for the row that has them to be refused.

    Raises Unreadable.
    """
    text = text_of(content)
    if text.lstrip()[:1] not in "{[":
        raise Unreadable("not_json", "The file is not JSON: it begins with neither { nor [.")
    _bounded(text)
    try:
        return json.loads(
            text,
            parse_float=_number,
            parse_int=_number,
            parse_constant=Decimal,
            object_pairs_hook=_object,
        )
    except (json.JSONDecodeError, RecursionError) as wrong:
        at = getattr(wrong, "pos", 0)
        if at >= len(text.rstrip()) - 1:
            raise Unreadable(
                "truncated", "The file ends in the middle: it was cut off. Nothing of it was taken."
            ) from wrong
        line = getattr(wrong, "lineno", 1)
        raise Unreadable(
            "not_json", f"The file is not JSON: line {line} cannot be read. Nothing of it was taken."
        ) from wrong


def _number(written: str) -> int | Decimal:
    if len(written) > LONGEST_NUMBER:
        return Decimal("NaN")
    if written.lstrip("-").isdigit():
        return int(written)
    return Decimal(written)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    return read if len(read) == len(pairs) else Repeated(pairs)


def _bounded(text: str) -> None:
    """Refuse what nests deeper than any price file does, before a parser recurses into it."""
    depth = 0
    for found in _STRINGS_AND_BRACKETS.finditer(text):
        c = found[0]
        if c in "{[":
            depth += 1
            if depth > DEEPEST:
                raise Unreadable(
                    "too_deep", f"The file nests deeper than {DEEPEST} levels; no price file does."
                )
        elif c in "}]":
            depth -= 1


def pairs_of(mapping: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Everything that an object says, a name said twice included."""
    return mapping.pairs if isinstance(mapping, Repeated) else list(mapping.items())


def few_enough(number: int) -> None:
    """Raises Unreadable."""
    if number > MOST_ROWS:
        raise Unreadable("too_many_rows", f"The file has more than {MOST_ROWS:,} rows.")


class Twice:
    """Keys that a file has more than once: said twice the same is left out the second time, said differently is refused."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self._times = Counter(key for key, _ in pairs)
        self._seen: dict[str, Any] = {}
        self._differ: set[str] = set()
        first: dict[str, Any] = {}
        for key, value in pairs:
            if self._times[key] > 1:
                if key in first and first[key] != value:
                    self._differ.add(key)
                first.setdefault(key, value)

    def check(self, key: str, value: Any) -> None:
        """Raises WrongRow for a row whose key is not its own."""
        if self._times[key] == 1:
            return
        if key in self._differ:
            raise WrongRow(
                "duplicate_key",
                f"The file has {shown(key)} {self._times[key]} times and says different things; which holds is not known.",
            )
        if key in self._seen:
            raise WrongRow(
                "duplicate_key", f"The file has {shown(key)} above already, word for word.", "left_out"
            )
        self._seen[key] = value


def mapping_of(value: Any, where: str = "The row") -> Mapping[str, Any]:
    """Raises WrongRow for what is no object, or one that has a name twice."""
    if not isinstance(value, Mapping):
        raise WrongRow("not_an_object", f"{where} is not an object with named values.")
    if isinstance(value, Repeated):
        twice = next(name for name, times in Counter(n for n, _ in value.pairs).items() if times > 1)
        raise WrongRow("duplicate_field", f"{where} has {shown(twice)} twice.")
    return value


# CSV and YAML


def csv_rows(
    content: bytes, needed: frozenset[str]
) -> Iterator[tuple[dict[str, str], dict[str, str] | None]]:
    """(the row as it stands, the row as read or None where its columns do not fit). Raises Unreadable."""
    text = text_of(content)
    head = text.splitlines()[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip().lower() for name in next(reader)]
        if missing := sorted(needed - set(names)):
            raise Unreadable(
                "not_this_table",
                f"The first line names no column {', '.join(missing)}: this is not the table it is said to be.",
            )
        if len(set(names)) < len(names):
            raise Unreadable("duplicate_column", "The first line names a column twice.")
        for number, cells in enumerate((row for row in reader if any(c.strip() for c in row)), start=1):
            few_enough(number)
            fits = len(cells) == len(names)
            row = dict(zip(names, cells, strict=fits))
            yield row if fits else {"line": delimiter.join(cells)}, row if fits else None
    except csv.Error as wrong:
        raise Unreadable("not_csv", f"Line {reader.line_num} of the file is not CSV: {wrong}.") from wrong


def yaml_of(content: bytes) -> Any:
    """Lists, mappings and the scalars as they are written, so that no date or number is made of them here. Raises Unreadable."""
    text = text_of(content)
    if len(text) > LARGEST_YAML:
        raise Unreadable("too_large", f"The YAML file is larger than {LARGEST_YAML // 1024**2} MB.")
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.AliasEvent):
                raise Unreadable("yaml_alias", "The file refers to parts of itself; no leaderboard does.")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEEPEST:
                    raise Unreadable("too_deep", f"The file nests deeper than {DEEPEST} levels.")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
        return _value(yaml.compose(text, Loader=loader))
    except yaml.YAMLError as wrong:
        mark = getattr(wrong, "problem_mark", None)
        where = f": line {mark.line + 1} cannot be read" if mark else ""
        raise Unreadable("not_yaml", f"The file is not YAML{where}. Nothing of it was taken.") from wrong


def _value(node: yaml.Node | None) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _object([(str(_value(key)), _value(value)) for key, value in node.value])
    if isinstance(node, yaml.SequenceNode):
        return [_value(value) for value in node.value]
    return node.value if node is not None else None


# What is kept of a row


def kept(value: Any, *, longest: int = 6000) -> Any:
    """The row as the file has it, JSON-ready for the database; what is too long is cut, and says so."""
    plain = _storable(value, DEEPEST)
    text = json.dumps(plain, ensure_ascii=False)
    return plain if len(text) <= longest else {"cut_to": longest, "text": text[:longest]}


def storable(value: Any) -> Any:
    """The same without what the database cannot hold."""
    return _storable(value, DEEPEST)


def storable_text(text: str) -> str:
    """Without what a PostgreSQL text cannot hold: NUL and half surrogate pairs."""
    if text.isprintable():  # half a surrogate pair is not
        return text
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _storable(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)
    if isinstance(value, Decimal | float):
        return _as_written(Decimal(str(value)))
    if depth == 0:
        return "…"
    if isinstance(value, Mapping):
        return {storable_text(str(k)): _storable(v, depth - 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(v, depth - 1) for v in value]
    return storable_text(str(value))


def _as_written(number: Decimal) -> Any:
    """A JSON number where it says the same, else its text."""
    try:
        close = float(number)
    except (OverflowError, ValueError):
        return str(number)
    return close if number.is_finite() and Decimal(repr(close)) == number else str(number)
