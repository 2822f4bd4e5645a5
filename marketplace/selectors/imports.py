"""Imports, their rows and what sources disagree on. For the catalog's keepers and auditors; nobody else knows of them."""

from typing import Any, Final

from django.db.models import Count, Q, QuerySet

from accounts.models import Role, User
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
SHORT: Final = {outcome: str(outcome.label) for outcome in ORDER} | {RowOutcome.DISAGREES: "Disagree"}
# What each outcome means, for who reads the report.
SAID: Final = {
    RowOutcome.NEW: "The catalog does not have it. It can be proposed.",
    RowOutcome.CHANGED: "The catalog has it and reads otherwise. It can be proposed.",
    RowOutcome.DISAGREES: "What we have is from elsewhere and says something else. A person decides in the queue.",
    RowOutcome.UNCHANGED: "The catalog says the same, or it is proposed already.",
    RowOutcome.LEFT_OUT: "Nothing is wrong with the row; the catalog has no use for it.",
    RowOutcome.REFUSED: "The row cannot be right. Nothing of it is taken.",
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


def proposes(row: StagedRow) -> str:
    """What a row would change, in a few words."""
    said = []
    for item in row.staged:
        body = item["body"]
        match item["operation"]:
            case "offering.create":
                said.append(f"new offering {body['slug']} with {_counted(body['plans'], 'plan')}")
            case "plan.create":
                said.append(f"new plan {body['slug']} of {body['offering']}")
            case "price.add":
                said.append(f"price of {body['plan']} from {body['start']}")
            case "price.correct":
                said.append("correction of a price")
            case "model.update":
                said.append(f"facts of {body['model']}")
            case "alias.add":
                said.append(f"alias of {body['offering']}")
            case "evaluation.add":
                said.append(f"result in {body['benchmark']}")
            case operation:
                said.append(operation)
    text = "; ".join(dict.fromkeys(said))
    return text[:1].upper() + text[1:]


def _counted(things: list[Any], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"
