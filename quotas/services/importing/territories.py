"""Territories out of a file: who covers them, which accounts lie in them, and whose their credit is while nobody covers them.

A row says any of these of one territory. Where it gives no first day, it holds from today; for a territory that is made for
it, from the import's own first day. Without an end it holds as long as what is known already, else for good.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import count

from django.db.models import Q
from django.db.models.functions import Lower

from config import house as formats
from config.locks import one_at_a_time
from config.names import fold
from marketplace.models import Customer
from quotas.models import CustomerTerritory, ImportOutcome, SalesRole, Territory, TerritoryAssignment
from quotas.services.importing.context import Context
from quotas.services.importing.creating import AccountFacts, RepFacts
from quotas.services.importing.directory import Named, People, Register
from quotas.services.importing.following import Cause, Touched, follow
from quotas.services.importing.planning import (
    Row,
    attempt,
    carry_out,
    fits,
    make_named,
    missing,
    named_or_made,
)
from quotas.services.importing.refused import Refused
from quotas.services.importing.spans import FIRST, LAST, Spans


@dataclass(slots=True, eq=False)
class _Row(Row):
    """Which territory a row is about, and whether it says who keeps its credit.

    named  What is to be made for it, by its id below zero, and the field that names it.
    """

    territory: Named | None = None
    houses: bool = False
    named: dict[int, str] = field(default_factory=dict)

    def forget(self) -> None:
        self.touches.clear()
        self.territory, self.houses, self.named = None, False, {}


def run_territories(context: Context) -> None:
    """Who covers territories, and what lies in them. Raises Unreadable for a file of too many rows."""
    one_at_a_time("quotas.creating")
    one_at_a_time("quotas.facts", "territories")

    def plan(rows: Sequence[_Row]) -> Callable[[Sequence[_Row]], "_Plan"]:
        facts = _Facts(rows)
        return lambda left: _Plan(context, facts, left)

    carry_out(context, make=_Row, plan=plan, outcome_of=_outcome_of, what_of=_what_of)


class _Facts:
    """What is known, read once: territories, reps, the accounts that the file names, and the dated facts between them. 5 queries."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.people = People.stored()
        self.territories = Register.stored(Territory, "house_rep_id")
        names = {row.values["account"] for row in rows if row.values["account"]}
        known = Customer.objects.annotate(written=Lower("name"))
        asked = Q(written__in=[name.lower() for name in names]) | Q(slug__in=names)
        self.accounts = list(known.filter(asked).values_list("pk", "slug", "name")) if names else []
        self.covers = Spans(TerritoryAssignment.objects.all(), of=["territory_id", "rep_id"])
        self.lies = Spans(CustomerTerritory.objects.all(), of=["territory_id", "customer_id"])


class _Plan:
    """What the rows come to, taken together. refused: lines that cannot be taken; the others have to be planned again without them.

    houses  Territory to the house rep that it is to have, each with the line that says so.
    """

    def __init__(self, context: Context, facts: _Facts, rows: Sequence[_Row]) -> None:
        self.context, self.rows, self.touched = context, rows, Touched()
        self.refused: dict[int, Refused] = {}
        self.people = People(facts.people)
        self.territories = Register.of("territory", facts.territories)
        self.accounts = Register.of("account", facts.accounts)
        self.covers, self.lies = facts.covers, facts.lies
        self.covers.forget()
        self.lies.forget()
        self.new_territories: list[Named] = []
        self.new_accounts: list[Named] = []
        self.new_reps: dict[str, Named] = {}
        self.role_of: dict[int, str] = {}
        self.houses: dict[int, tuple[int, int]] = {}
        self.create = context.options.create_missing
        self.next_id = count(-1, -1).__next__
        for row in rows:
            row.forget()
        attempt(rows, self._take, self.refused)

    def _take(self, row: _Row) -> None:
        said = row.values
        if not (said["rep"] or said["account"] or said["house_rep"]):
            raise Refused(
                "nothing_said", "Name who covers the territory, an account in it, or its house rep.", "rep"
            )
        territory = row.territory = named_or_made(
            self.territories,
            said["territory"],
            field="territory",
            new=self.new_territories,
            next_id=self.next_id,
            create=self.create,
        )
        since: date = self.context.creator.since if territory.id < 0 else self.context.today
        day, ends = said["starts"] or since, said["ends"]
        if ends and ends <= day and (said["starts"] or territory.id < 0):
            raise Refused("ends_before_it_starts", "It ends before it starts.", "ends")
        rep_id = self._rep(said["rep"], "rep") if said["rep"] else None
        account_id = self._account(said["account"]) if said["account"] else None
        house_id = self._rep(said["house_rep"], "house_rep") if said["house_rep"] else None
        named = (territory.id, "territory"), (rep_id, "rep"), (account_id, "account"), (house_id, "house_rep")
        row.named = {one: field for one, field in named if one is not None and one < 0}
        if house_id is not None:
            self._house(row, territory, house_id)
        if rep_id is not None:
            row.hold(self.covers, (territory.id, rep_id), day, ends)
        if account_id is not None:
            row.hold(self.lies, (territory.id, account_id), day, ends)

    def _house(self, row: _Row, territory: Named, house_id: int) -> None:
        line, other = self.houses.get(territory.id, (row.line, house_id))
        if other != house_id:
            why = f"Line {line} says that somebody else keeps the credit of {territory.name}."
            raise Refused("two_house_reps", why, "house_rep")
        if territory.house_rep_id != house_id:
            self.houses[territory.id] = line, house_id
            row.houses = True

    def _rep(self, name: str, field: str) -> int:
        found = self.people.named(name)
        if found is not None:
            return found.id
        if not self.create:
            raise missing("rep", name, field)
        fits(name, "rep", field)
        new = self.new_reps.get(fold(name)) or Named(self.next_id(), "", name)
        self.new_reps[fold(name)] = new
        self.role_of.setdefault(new.id, SalesRole.HOUSE if field == "house_rep" else "")
        return new.id

    def _account(self, name: str) -> int:
        return named_or_made(
            self.accounts,
            name,
            field="account",
            new=self.new_accounts,
            next_id=self.next_id,
            create=self.create,
        ).id

    @property
    def news(self) -> bool:
        new = self.new_territories or self.new_accounts or self.new_reps or self.houses
        return bool(new or self.covers.changes() or self.lies.changes())

    def write(self) -> dict[int, Refused]:
        """A fixed number of statements."""
        creator, at = self.context.creator, self.context.at
        made: dict[int, int] = {}
        wrong: dict[int, tuple[str, str]] = {}
        facts = {one.name: RepFacts(role=self.role_of[one.id]) for one in self.new_reps.values()}
        for new, make in (
            (self.new_territories, creator.territories),
            (self.new_accounts, lambda names: creator.accounts(dict.fromkeys(names, AccountFacts()))),
            (list(self.new_reps.values()), lambda _names: creator.reps(facts)),
        ):
            ids, refused = make_named(new, make, creator.refused)
            made |= ids
            wrong |= refused
        if wrong:
            return {
                row.line: Refused(*wrong[one], field)
                for row in self.rows
                for one, field in row.named.items()
                if one in wrong
            }
        touched = self.touched
        touched.covers(self.covers.changes(), made)
        touched.lies(self.lies.changes(), made)
        for territory_id, (_line, house_id) in self.houses.items():
            pk = made.get(territory_id, territory_id)
            Territory.objects.filter(pk=pk).update(house_rep=made.get(house_id, house_id))
            touched.territories.add(pk)
            touched.days(FIRST, LAST)
        self.covers.write(at, made)
        self.lies.write(at, made)
        return {}

    def follow(self) -> None:
        follow(
            self.context,
            self.touched,
            cause=Cause.TERRITORY,
            what=f"Territories out of {self.context.run.file_name}",
        )


def _outcome_of(row: _Row, changed: bool) -> str:
    """New is what was never known of the territory; a row that ends or moves something changes it."""
    if not (changed or row.houses):
        return ImportOutcome.UNCHANGED.value
    if row.territory is not None and row.territory.id < 0:
        return ImportOutcome.NEW.value
    fresh = row.touches and all(book.is_new(subject) for book, subject in row.touches)
    return ImportOutcome.NEW.value if fresh and not row.houses else ImportOutcome.CHANGED.value


def _what_of(row: _Row) -> str:
    said = row.values
    parts = [
        str(said["territory"]),
        f"covered by {said['rep']}" if said["rep"] else "",
        f"holds {said['account']}" if said["account"] else "",
        f"kept by {said['house_rep']}" if said["house_rep"] else "",
        f"from {formats.day(said['starts'])}" if said["starts"] else "",
        f"to before {formats.day(said['ends'])}" if said["ends"] else "",
    ]
    return ", ".join(part for part in parts if part)
