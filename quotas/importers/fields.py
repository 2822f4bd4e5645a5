"""The fields that the columns of an imported file can fill, by what the file is about. The words of choices are those of the models."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

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
        FieldSpec("external_id", "Id", "The source's own id of the deal, such as Opportunity ID. The same id again is the same deal.", "id", True, longest=80),
        FieldSpec("title", "Title", "What the deal is called.", longest=160),
        FieldSpec("stage", "Stage", "Whether it is won. Each word is translated: approved, submitted, draft, cancelled or skip.", "choice", True, STAGES),
        FieldSpec("owner", "Owner", "The rep who is credited: name, e-mail address, employee number or slug.", "name", True),
        FieldSpec("owner_name", "Owner's name", "Names a rep that is created where the owner is a number.", "name"),
        FieldSpec("team", "Owner's team", "Of a rep that is created.", "name"),
        FieldSpec("manager", "Owner's manager", "Of a rep that is created.", "name"),
        FieldSpec("account", "Account", "The customer's name.", "name", True),
        FieldSpec("account_country", "Account's country", "Two letters, such as DE; of an account that is created.", "name"),
        FieldSpec("segment", "Account's segment", "Such as enterprise; of an account that is created.", "name"),
        FieldSpec("region", "Account's region", "Such as emea; of an account that is created.", "name"),
        FieldSpec("territory", "Account's territory", "The territory in which the account lies.", "name"),
        FieldSpec("offering", "Offering", "What was sold, by its name or slug.", "name", True),
        FieldSpec("publisher", "Publisher", "Who makes the offering; where it is created.", "name"),
        FieldSpec("family", "Family", "Of the offering; where it is created.", "name"),
        FieldSpec("plan", "Plan of the offering", "By its name or slug.", "name"),
        FieldSpec("kind", "Kind of deal", "New business where nothing is said; a deal that names its original is a refund.", "choice", False, DEAL_KINDS),
        FieldSpec("amount", "Amount", "Of the line, in the deal's currency; negative on a refund only.", "decimal", True),
        FieldSpec("currency", "Currency", "Three letters, such as USD.", "currency", True),
        FieldSpec("close_date", "Close date", "The day on which it was won: the credit date.", "date", True),
        FieldSpec("quantity", "Quantity", "How many units.", "decimal"),
        FieldSpec("term_months", "Term in months", "A whole number of months.", "whole"),
        FieldSpec("new_customer", "New customer", "Yes or no.", "flag"),
        FieldSpec("created_on", "Created on", "The day on which the source first had it.", "date"),
        FieldSpec("changed_on", "Last changed", "The source's own day, time or number of the change. An older row than the one already known is left out.", "version"),
        FieldSpec("refunds", "Refund of", "The id of the deal that is given back.", "id", longest=80),
    ),
    "quotas": _of(
        FieldSpec("rep", "Rep", "Whose quota: name, e-mail address, employee number or slug.", "name"),
        FieldSpec("team", "Team", "Whose quota, where it is a team's: name or slug.", "name"),
        FieldSpec("measure", "Measure", "By its name or slug; else the first measure of contract value in the currency.", "name"),
        FieldSpec("period", "Period", "Its name, such as FY27-Q1, or its month, such as 2026-07.", "period"),
        FieldSpec("period_start", "First day of the period", "With the last day, instead of the period's name.", "date"),
        FieldSpec("period_end", "Last day of the period", "The day itself belongs to the period.", "date"),
        FieldSpec("amount", "Quota", "The target.", "decimal"),
        FieldSpec("currency", "Currency", "Three letters, such as USD.", "currency"),
        FieldSpec("starts", "Holds from", "The first day of a quota that changes within its period.", "date"),
        FieldSpec("method", "Change within the period", "last: the last version holds for all of it; weighted: each by its days.", "choice", False, METHODS),
    ),
    "reps": _of(
        FieldSpec("rep", "Rep", "The person's name; empty in a row about a team alone.", "name", longest=150),
        FieldSpec("employee_no", "Employee number", "Unique; the surest way to find a person again.", "id", longest=30),
        FieldSpec("slug", "Slug", "The short name in addresses.", "name", longest=80),
        FieldSpec("email", "E-mail", "The address that the person logs in with.", "name"),
        FieldSpec("team", "Team", "The team's name.", "name", longest=120),
        FieldSpec("parent_team", "Team above", "The team in which the team stands.", "name", longest=120),
        FieldSpec("manager", "Manager", "Who manages the team.", "name", longest=150),
        FieldSpec("role", "Role", "account_executive, specialist, customer_success, manager or house.", "choice", False, ROLES),
        FieldSpec("starts", "From", "The first day in this team and role.", "date"),
        FieldSpec("ends", "Left on", "The day from which the person no longer sells.", "date"),
        FieldSpec("region", "Region", "The team's sales region.", "name"),
        FieldSpec("territory", "Territories", "Which the rep covers; several with a semicolon between them.", "text"),
        FieldSpec("territory_starts", "Territories from", "The first day.", "date"),
        FieldSpec("territory_ends", "Territories until", "The first day on which the rep no longer covers them.", "date"),
    ),
    "territories": _of(
        FieldSpec("territory", "Territory", "Its name or slug.", "name", True, longest=120),
        FieldSpec("rep", "Rep", "Who covers it: name, e-mail address, employee number or slug.", "name"),
        FieldSpec("account", "Account", "A customer that lies in it.", "name"),
        FieldSpec("house_rep", "House rep", "Keeps its credit while nobody covers it.", "name"),
        FieldSpec("starts", "From", "The first day.", "date"),
        FieldSpec("ends", "Until", "The first day on which it no longer holds.", "date"),
    ),
}  # fmt: skip
