"""An answer as blocks that a template can show: headings, points, tables, code, plain lines. Nothing in it becomes markup."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final, Literal

Kind = Literal["heading", "points", "table", "code", "text"]
FENCE: Final = "```"


@dataclass(frozen=True, slots=True)
class Block:
    """text of a heading, of code and of plain lines; rows of cells of a table; lines of points."""

    kind: Kind
    text: str = ""
    lines: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


def blocks(text: str) -> list[Block]:
    """In order. A fence that is never closed goes to the end; what is no known form is plain text."""
    found: list[Block] = []
    parts = text.replace("\r\n", "\n").split(f"{FENCE}")
    for at, part in enumerate(parts):
        if at % 2:
            first, line_end, rest = part.partition("\n")
            code = rest if line_end and first.strip().isalnum() else part
            found.append(Block("code", code.strip("\n")))
        else:
            found += _plain(part)
    return [block for block in found if block.kind != "code" or block.text]


def _plain(text: str) -> Iterator[Block]:
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    for kind, group in groupby(lines, _kind):
        same = list(group)
        if kind == "heading":
            yield from (Block("heading", line.lstrip("# ")) for line in same)
        elif kind == "points":
            yield Block("points", lines=[line[2:] for line in same])
        elif kind == "table":
            yield Block("table", rows=_rows(same))
        else:
            yield from (Block("text", line) for line in same)


def _kind(line: str) -> Kind:
    if line.startswith("# "):
        return "heading"
    if line.startswith("- "):
        return "points"
    return "table" if line.startswith("|") and line.endswith("|") and len(line) > 1 else "text"


def _rows(lines: list[str]) -> list[list[str]]:
    """As wide as the widest; shorter ones are filled with empty cells."""
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    widest = max(map(len, rows))
    return [row + [""] * (widest - len(row)) for row in rows]
