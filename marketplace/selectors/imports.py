"""Imports, their rows and what sources disagree on. For the catalog's keepers and auditors; nobody else knows of them."""

from collections.abc import Callable
from typing import Final

from django.db.models import Count, Q, QuerySet

from accounts.models import Role, User
from config.language import marked
from marketplace.models import (
    CatalogImport,
    Discrepancy,
    DiscrepancyState,
    ImportSource,
    RowOutcome,
    StagedRow,
)

READERS: Final = (Role.CATALOG_MANAGER, Role.AUDITOR)
ORDER: Final = (
    RowOutcome.NEW,
    RowOutcome.CHANGED,
    RowOutcome.DISAGREES,
    RowOutcome.UNCHANGED,
    RowOutcome.LEFT_OUT,
    RowOutcome.REFUSED,
)
SHORT: Final = {outcome: str(outcome.label) for outcome in ORDER} | {RowOutcome.DISAGREES: marked("Disagree")}
# What each outcome means, for who reads the report.
SAID: Final = {
    RowOutcome.NEW: marked("The catalog does not have it. It can be proposed."),
    RowOutcome.CHANGED: marked("The catalog has it and reads otherwise. It can be proposed."),
    RowOutcome.DISAGREES: marked(
        "What we have is from elsewhere and says something else. A person decides in the queue."
    ),
    RowOutcome.UNCHANGED: marked("The catalog says the same, or it is proposed already."),
    RowOutcome.LEFT_OUT: marked("Nothing is wrong with the row; the catalog has no use for it."),
    RowOutcome.REFUSED: marked("The row cannot be right. Nothing of it is taken."),
}
LARGE_PPM: Final = 100_000  # a tenth


def imports_for(user: User) -> QuerySet[CatalogImport]:
    """The latest first."""
    rows = CatalogImport.objects.defer("content").select_related("requested_by", "job").order_by("-pk")
    return rows if user.has_role(*READERS) else rows.none()


def discrepancies_for(user: User) -> QuerySet[Discrepancy]:
    """Open ones and decided ones."""
    rows = Discrepancy.objects.select_related("offering__publisher", "plan", "found_in", "decided_by")
    return rows if user.has_role(*READERS) else rows.none()


def open_discrepancies() -> int:
    return Discrepancy.objects.filter(state=DiscrepancyState.OPEN).count()


def sources() -> list[tuple[str, str]]:
    return [(value, str(label)) for value, label in ImportSource.choices]


def rows_of(
    run: CatalogImport, *, outcome: str = "", provider: str = "", code: str = "", text: str = ""
) -> QuerySet[StagedRow]:
    """In the order of the file."""
    rows = StagedRow.objects.filter(run=run).order_by("number")
    if outcome:
        rows = rows.filter(outcome=outcome)
    if provider:
        rows = rows.filter(provider=provider)
    if code:
        rows = rows.filter(code=code)
    if text:
        rows = rows.filter(Q(key__icontains=text) | Q(message__icontains=text))
    return rows


def counts(run: CatalogImport) -> dict[str, int]:
    """Rows by outcome. 1 query."""
    found = dict(rows_of(run).order_by().values_list("outcome").annotate(n=Count("pk")))
    return {outcome.value: found.get(outcome.value, 0) for outcome in ORDER}


def providers(run: CatalogImport, outcome: str = "") -> list[tuple[str, int]]:
    """Who is listed how often, the most listed first. 1 query."""
    rows = rows_of(run, outcome=outcome).exclude(provider="").order_by()
    return list(rows.values_list("provider").annotate(n=Count("pk")).order_by("-n", "provider"))


def reasons(run: CatalogImport, outcome: str = "") -> list[tuple[str, int]]:
    """1 query."""
    rows = rows_of(run, outcome=outcome).exclude(code="").order_by()
    return list(rows.values_list("code").annotate(n=Count("pk")).order_by("-n", "code"))


def proposes(row: StagedRow, say: Callable[[str], str] = str) -> str:
    """What a row would change, in a few words. say: in which language, English by itself."""
    said = []
    for item in row.staged:
        body = item["body"]
        match item["operation"]:
            case "offering.create" if len(body["plans"]) == 1:
                said.append(say(marked("new offering %(slug)s with 1 plan")) % body)
            case "offering.create":
                number = len(body["plans"])
                said.append(
                    say(marked("new offering %(slug)s with %(number)s plans")) % {**body, "number": number}
                )
            case "plan.create":
                said.append(say(marked("new plan %(slug)s of %(offering)s")) % body)
            case "price.add":
                said.append(say(marked("price of %(plan)s from %(start)s")) % body)
            case "price.correct":
                said.append(say(marked("correction of a price")))
            case "model.update":
                said.append(say(marked("facts of %(model)s")) % body)
            case "alias.add":
                said.append(say(marked("alias of %(offering)s")) % body)
            case "evaluation.add":
                said.append(say(marked("result in %(benchmark)s")) % body)
            case operation:
                said.append(operation)
    text = "; ".join(dict.fromkeys(said))
    return text[:1].upper() + text[1:]
