"""The fields that the columns of an imported file can fill, by what the file is about. The words of choices are those of the models."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from config.language import marked

STAGES: Final = ("approved", "submitted", "draft", "cancelled", "skip")
DEAL_KINDS: Final = ("new_business", "expansion", "renewal", "refund", "consumption")
ROLES: Final = ("account_executive", "specialist", "customer_success", "manager", "house")
METHODS: Final = ("last", "weighted")
ORIGINS: Final = ("first", "third")
PATHS: Final = ("sold_by_cloud", "marketplace", "internal_only")


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """A field that a column can fill.

    kind     text, name, id, whole, decimal, date, flag, choice, currency, version or period.
    choices  Of a choice: the words that Parity uses.
    longest  Of a text, in characters; 0 is left to whoever takes it.
    """

    name: str
    label: str
    help: str
    kind: str = "text"
    needed: bool = False
    choices: tuple[str, ...] = ()
    longest: int = 0


def _of(*specs: FieldSpec) -> tuple[FieldSpec, ...]:
    return specs


FIELDS: Final[Mapping[str, tuple[FieldSpec, ...]]] = {
    "deals": _of(
        FieldSpec("external_id", marked("Id"), marked("The source's own id of the deal, such as Opportunity ID. The same id again is the same deal."), "id", True, longest=80),
        FieldSpec("title", marked("Title"), marked("What the deal is called."), longest=160),
        FieldSpec("stage", marked("Stage"), marked("Whether it is won. Each word is translated: approved, submitted, draft, cancelled or skip."), "choice", True, STAGES),
        FieldSpec("owner", marked("Owner"), marked("The rep who is credited: name, e-mail address, employee number or slug."), "name", True),
        FieldSpec("owner_name", marked("Owner's name"), marked("Names a rep that is created where the owner is a number."), "name"),
        FieldSpec("team", marked("Owner's team"), marked("Of a rep that is created."), "name"),
        FieldSpec("manager", marked("Owner's manager"), marked("Of a rep that is created."), "name"),
        FieldSpec("account", marked("Account"), marked("The customer's name."), "name", True),
        FieldSpec("account_country", marked("Account's country"), marked("Two letters, such as DE; of an account that is created."), "name"),
        FieldSpec("segment", marked("Account's segment"), marked("Such as enterprise; of an account that is created."), "name"),
        FieldSpec("region", marked("Account's region"), marked("Such as emea; of an account that is created."), "name"),
        FieldSpec("territory", marked("Account's territory"), marked("The territory in which the account lies."), "name"),
        FieldSpec("offering", marked("Offering"), marked("What was sold, by its name or slug."), "name", True),
        FieldSpec("publisher", marked("Publisher"), marked("Who makes the offering; where it is created."), "name"),
        FieldSpec("family", marked("Family"), marked("Of the offering; where it is created."), "name"),
        FieldSpec("plan", marked("Plan of the offering"), marked("By its name or slug."), "name"),
        FieldSpec("kind", marked("Kind of deal"), marked("New business where nothing is said; a deal that names its original is a refund."), "choice", False, DEAL_KINDS),
        FieldSpec("amount", marked("Amount"), marked("Of the line, in the deal's currency; negative on a refund only."), "decimal", True),
        FieldSpec("currency", marked("Currency"), marked("Three letters, such as USD."), "currency", True),
        FieldSpec("close_date", marked("Close date"), marked("The day on which it was won: the credit date."), "date", True),
        FieldSpec("quantity", marked("Quantity"), marked("How many units."), "decimal"),
        FieldSpec("term_months", marked("Term in months"), marked("A whole number of months."), "whole"),
        FieldSpec("new_customer", marked("New customer"), marked("Yes or no."), "flag"),
        FieldSpec("created_on", marked("Created on"), marked("The day on which the source first had it."), "date"),
        FieldSpec("changed_on", marked("Last changed"), marked("The source's own day, time or number of the change. An older row than the one already known is left out."), "version"),
        FieldSpec("refunds", marked("Refund of"), marked("The id of the deal that is given back."), "id", longest=80),
    ),
    "quotas": _of(
        FieldSpec("rep", marked("Rep"), marked("Whose quota: name, e-mail address, employee number or slug."), "name"),
        FieldSpec("team", marked("Team"), marked("Whose quota, where it is a team's: name or slug."), "name"),
        FieldSpec("measure", marked("Measure"), marked("By its name or slug; else the first measure of contract value in the currency."), "name"),
        FieldSpec("period", marked("Period"), marked("Its name, such as FY27-Q1, or its month, such as 2026-07."), "period"),
        FieldSpec("period_start", marked("First day of the period"), marked("With the last day, instead of the period's name."), "date"),
        FieldSpec("period_end", marked("Last day of the period"), marked("The day itself belongs to the period."), "date"),
        FieldSpec("amount", marked("Quota"), marked("The target."), "decimal"),
        FieldSpec("currency", marked("Currency"), marked("Three letters, such as USD."), "currency"),
        FieldSpec("starts", marked("Holds from"), marked("The first day of a quota that changes within its period."), "date"),
        FieldSpec("method", marked("Change within the period"), marked("last: the last version holds for all of it; weighted: each by its days."), "choice", False, METHODS),
    ),
    "reps": _of(
        FieldSpec("rep", marked("Rep"), marked("The person's name; empty in a row about a team alone."), "name", longest=150),
        FieldSpec("employee_no", marked("Employee number"), marked("Unique; the surest way to find a person again."), "id", longest=30),
        FieldSpec("slug", marked("Slug"), marked("The short name in addresses."), "name", longest=80),
        FieldSpec("email", marked("E-mail"), marked("The address that the person logs in with."), "name"),
        FieldSpec("team", marked("Team"), marked("The team's name."), "name", longest=120),
        FieldSpec("parent_team", marked("Team above"), marked("The team in which the team stands."), "name", longest=120),
        FieldSpec("manager", marked("Manager"), marked("Who manages the team."), "name", longest=150),
        FieldSpec("role", marked("Role"), marked("account_executive, specialist, customer_success, manager or house."), "choice", False, ROLES),
        FieldSpec("starts", marked("From"), marked("The first day in this team and role."), "date"),
        FieldSpec("ends", marked("Left on"), marked("The day from which the person no longer sells."), "date"),
        FieldSpec("region", marked("Region"), marked("The team's sales region."), "name"),
        FieldSpec("territory", marked("Territories"), marked("Which the rep covers; several with a semicolon between them."), "text"),
        FieldSpec("territory_starts", marked("Territories from"), marked("The first day."), "date"),
        FieldSpec("territory_ends", marked("Territories until"), marked("The first day on which the rep no longer covers them."), "date"),
    ),
    "territories": _of(
        FieldSpec("territory", marked("Territory"), marked("Its name or slug."), "name", True, longest=120),
        FieldSpec("rep", marked("Rep"), marked("Who covers it: name, e-mail address, employee number or slug."), "name"),
        FieldSpec("account", marked("Account"), marked("A customer that lies in it."), "name"),
        FieldSpec("house_rep", marked("House rep"), marked("Keeps its credit while nobody covers it."), "name"),
        FieldSpec("starts", marked("From"), marked("The first day."), "date"),
        FieldSpec("ends", marked("Until"), marked("The first day on which it no longer holds."), "date"),
    ),
}  # fmt: skip
