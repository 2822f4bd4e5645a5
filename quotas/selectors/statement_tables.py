"""Statements as tables to be written to a file: a row a figure, so that one rep's and a whole close's read alike."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from django.db.models import QuerySet

from config.exports import Amount, Column, Table
from config.slices import in_slices
from quotas.models import EarningKind, Rep, Statement
from quotas.selectors.exports import money, of_measure
from quotas.selectors.periods import WORDS
from quotas.selectors.plan_documents import Accepting
from quotas.selectors.statements import SECTIONS, Account, Content, Line, contents_of, in_order, with_heads

__all__ = ["Content", "acceptances", "all_rows", "listed", "rows_of", "said_of"]

_COLUMNS: Final = (
    Column("period", "Period"),
    Column("version", "Version", "whole"),
    Column("rep", "Rep"),
    Column("slug", "Slug"),
    Column("employee_no", "Employee number"),
    Column("section", "Section"),
    Column("measure", "Measure"),
    Column("of", "Of"),
    Column("deal", "Deal"),
    Column("line", "Line", "whole"),
    Column("customer", "Customer"),
    Column("offering", "Offering"),
    Column("rule", "Rule or reason"),
    Column("component", "Component"),
    Column("overlay", "Overlay", "flag"),
    Column("credit_date", "Credit date", "date"),
    Column("origin", "Origin month"),
    Column("entry", "Entry", "whole"),
    Column("reverses", "Reverses", "whole"),
    Column("amount", "Amount", "money", "Currency"),
    Column("quota", "Quota", "money", "Currency"),
    Column("attainment_percent", "Attainment %", "percent"),
    Column("note", "Note"),
    Column("digest", "Digest of the statement"),
)
_BLANK: Final = dict.fromkeys(column.name for column in _COLUMNS)


def rows_of(contents: Sequence[Content]) -> Table:
    """Of statements that are at hand."""
    return Table(_COLUMNS, lambda: (row for content in contents for row in _rows(content)))


def all_rows(found: QuerySet[Statement]) -> Table:
    """Of statements of one close, by the rep's name. A fixed number of queries for each slice."""

    def rows() -> Iterator[Sequence[Any]]:
        for some in in_order(found):
            for content in contents_of(some):
                yield from _rows(content)

    return Table(_COLUMNS, rows)


def said_of(content: Content) -> list[tuple[str, str]]:
    """What stands at the head of a statement, for the second sheet."""
    statement = content.statement
    return [
        ("Rep", statement.rep.name),
        ("Team", content.team.name if content.team else "none"),
        ("Period", f"{statement.close.period.name}, version {statement.close.version}"),
        ("Plan", ", ".join(map(str, content.plans)) or "none"),
        ("Issued", f"{statement.issued_at:%Y-%m-%d %H:%M %Z}"),
        ("Digest", statement.digest),
    ]


def _rows(content: Content) -> Iterator[tuple[Any, ...]]:
    statement = content.statement
    rep: Rep = statement.rep
    head = {
        **_BLANK,
        "period": statement.close.period.name,
        "version": statement.close.version,
        "rep": rep.name,
        "slug": rep.slug,
        "employee_no": rep.employee_no,
        "digest": statement.digest,
    }
    for account in content.accounts:
        for told in _of_account(account):
            yield tuple({**head, **told}.values())
    for pay in content.pay:
        for each in pay.entries:
            entry = each.entry
            yield tuple(
                {
                    **head,
                    "section": "Earnings",
                    "measure": entry.measure.name if entry.measure else "",
                    "of": str(entry.plan_version) if entry.plan_version else "",
                    "component": str(EarningKind(entry.kind).label),
                    "origin": entry.origin_period.name,
                    "amount": money(entry.amount_minor, pay.currency),
                }.values()
            )
    for currency, balance in content.draws.items():
        yield tuple(
            {**head, "section": "Draw still to be taken back", "amount": money(balance, currency)}.values()
        )


def _of_account(account: Account) -> Iterator[dict[str, Any]]:
    write = of_measure(account.measure)
    about = {"measure": account.measure.name}
    quarter = account.quarter.period.name if account.quarter else ""
    yield {**about, "section": "Opening balance", "of": quarter, "amount": write(account.opening_minor)}
    for part in account.parts:
        for line in part.lines:
            yield {**about, **_line(line, write(line.amount_minor))}
    yield {**about, "section": "Closing balance", "of": quarter, "amount": write(account.closing_minor)}
    for each in account.to_date:
        yield {
            **about,
            "section": f"{WORDS[each.period.grain].capitalize()} to date",  # type: ignore[index]  # its values are the grains
            "of": each.period.name,
            "amount": write(each.credited_minor),
            "quota": write(each.quota_minor),
            "attainment_percent": each.attainment,
        }


def _line(line: Line, amount: Amount | None) -> dict[str, Any]:
    return {
        "section": SECTIONS[line.section],
        "deal": line.reference,
        "line": line.line_no,
        "customer": line.customer,
        "offering": line.offering,
        "rule": line.rule,
        "component": line.component,
        "overlay": line.overlay,
        "credit_date": line.credit_date,
        "origin": line.origin,
        "entry": line.entry_id,
        "reverses": line.reverses_id,
        "amount": amount,
        "note": line.note,
    }


def listed(found: QuerySet[Statement], order: Sequence[str]) -> Table:
    """A row a statement, in the order of the list: who has it, who acknowledged it. 1 query a slice."""
    columns = [
        Column("period", "Period"),
        Column("version", "Version", "whole"),
        Column("rep", "Rep"),
        Column("slug", "Slug"),
        Column("employee_no", "Employee number"),
        Column("entries", "Entries", "whole", key="entries"),
        Column("issued_at", "Issued", "instant", key="issued"),
        Column("acknowledged_at", "Acknowledged", "instant", key="acknowledged"),
        Column("can", "Has a log-in", "flag", key="acknowledged"),
        Column("digest", "Digest", key="digest"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for some in in_slices(with_heads(found), order):
            for each in some:
                yield (
                    *(each.close.period.name, each.close.version, each.rep.name, each.rep.slug),
                    *(each.rep.employee_no, each.entries, each.issued_at, each.acknowledged_at),
                    *(each.rep.user_id is not None, each.digest),
                )

    return Table(columns, rows)


def acceptances(found: Iterable[Accepting]) -> Table:
    """A row a rep who has a plan version, or accepted it."""
    columns = [
        Column("rep", "Rep"),
        Column("slug", "Slug"),
        Column("employee_no", "Employee number"),
        Column("accepted_at", "Accepted", "instant"),
        Column("digest", "Digest of what was accepted"),
    ]
    return Table(
        columns,
        lambda: (
            (each.rep.name, each.rep.slug, each.rep.employee_no, each.since, each.digest) for each in found
        ),
    )
