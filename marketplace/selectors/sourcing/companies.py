"""Companies with all their roles. A role follows from a tie, an agreement or a binding, and shows which; none is stored."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from django.db.models import F, QuerySet

from config.months import add_months, month_of
from marketplace.models import (
    AiModel,
    Binding,
    BindingRole,
    Company,
    PublicFact,
    Relationship,
    RelationshipKind,
    RiskEvent,
    SupplierAgreement,
)
from marketplace.models.sourcing.companies import MONEY_KINDS
from marketplace.selectors.public_facts import mentions
from marketplace.selectors.sourcing.binding import bindings_on
from marketplace.selectors.sourcing.costing import spend_lines
from marketplace.selectors.sourcing.flows import amount_text

LOOKED_BACK: Final = 3  # whole months of use that our dependence is read from
SOON: Final = 60  # days in which a deadline is pressing
ABOUT_US: Final = ("strategy", "market", "incentive_policy", "catalog_policy", "structure")
"""Kinds of public statements that are about the operator whatever they name."""

# Kind to the role of who pays and of who is paid.
ROLES: Final = {
    RelationshipKind.SPEND: ("Customer of", "Supplier to"),
    RelationshipKind.COMPUTE_COMMITMENT: ("Customer of", "Supplier to"),
    RelationshipKind.INFRASTRUCTURE: ("Customer of", "Supplier to"),
    RelationshipKind.EQUITY: ("Investor in", "Investment of"),
    RelationshipKind.COMPETITION: ("Competitor of", "Competitor of"),
    RelationshipKind.DEPENDENCE: ("Depends on", "Depended on by"),
}
RELATED: Final = "Related party of"
ORDER: Final = (
    "Supplier to",
    "Customer of",
    "Investor in",
    "Investment of",
    RELATED,
    "Competitor of",
    "Depends on",
    "Depended on by",
)


@dataclass(frozen=True, slots=True)
class Basis:
    """Why a company has a role: a tie, or what we know ourselves (then in words, with the anchor where it stands)."""

    tie: Relationship | None = None
    words: str = ""
    anchor: str = ""

    @property
    def said(self) -> str:
        """The amount of a tie along which money goes, with its bound."""
        return amount_text(self.tie) if self.tie is not None and self.tie.kind in MONEY_KINDS else ""


@dataclass(frozen=True, slots=True)
class Role:
    """A role toward another company, with everything it follows from."""

    name: str
    toward: Company
    bases: tuple[Basis, ...]

    @property
    def ours(self) -> bool:
        return self.toward.is_operator

    @property
    def short(self) -> str:
        """For a badge: "Supplier", "Competitor of OpenAI"."""
        if not self.ours:
            return f"{self.name} {self.toward.name}"
        return {
            "Supplier to": "Supplier",
            "Customer of": "Customer",
            "Investor in": "Investor in us",
            "Investment of": "We invest in it",
            RELATED: "Related party",
            "Competitor of": "Competitor",
            "Depends on": "Depends on us",
            "Depended on by": "We depend on it",
        }[self.name]


def companies() -> "QuerySet[Company]":
    """By name, the operator first. 1 query."""
    return Company.objects.select_related("publisher").order_by("-is_operator", "name", "id")


def operator() -> Company | None:
    """We ourselves; None until companies are loaded. 1 query."""
    return Company.objects.select_related("publisher").filter(is_operator=True).first()


def roles_of(
    company: Company,
    ties: Iterable[Relationship],
    us: Company | None = None,
    known: Mapping[str, Sequence[Basis]] = MappingProxyType({}),
) -> list[Role]:
    """Every role of a company, those toward us first. No query.

    ties    All ties in force; those of other companies are left aside.
    known   Role name to what else we know that makes it one toward us.
    """
    found: dict[tuple[str, int], list[Basis]] = defaultdict(list)
    toward: dict[int, Company] = {}
    for tie in ties:
        if company.pk not in (tie.payer_id, tie.payee_id):
            continue
        pays = tie.payer_id == company.pk
        other = tie.payee if pays else tie.payer
        toward[other.pk] = other
        names = [ROLES[RelationshipKind(tie.kind)][0 if pays else 1]]
        if tie.kind == RelationshipKind.EQUITY:
            names.append(RELATED)
        for name in names:
            found[name, other.pk].append(Basis(tie))
    if us is not None and us.pk != company.pk:
        toward[us.pk] = us
        for name, bases in known.items():
            found[name, us.pk] += bases
    roles = [Role(name, toward[pk], tuple(bases)) for (name, pk), bases in found.items() if bases]
    return sorted(roles, key=lambda role: (not role.ours, ORDER.index(role.name), role.toward.name))


# --- agreements ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deadline:
    """The next day on which something about an agreement is decided. days: from the day looked at; 0 is that day."""

    agreement: SupplierAgreement
    what: str
    day: date
    days: int

    @property
    def soon(self) -> bool:
        return self.days <= SOON


def agreements(on: date) -> "QuerySet[SupplierAgreement]":
    """Those that hold on a day. 1 query."""
    return stated_agreements().filter(effective__contains=on)


def stated_agreements() -> "QuerySet[SupplierAgreement]":
    """All that stand, the latest first. 1 query."""
    return (
        SupplierAgreement.objects.filter(superseded_at=None)
        .select_related("supplier", "recorded_by")
        .order_by("supplier", "-effective", "-id")
    )


def notice_by(agreement: SupplierAgreement) -> date | None:
    """The last day on which notice counts for the renewal; None where either is not stated."""
    if agreement.renews_on is None or agreement.notice_days is None:
        return None
    return agreement.renews_on - timedelta(days=agreement.notice_days)


def next_deadline(agreement: SupplierAgreement, on: date) -> Deadline | None:
    """Notice while it can be given, then the renewal, then the end; None where none is stated or all have passed."""
    for what, day in (
        ("Notice", notice_by(agreement)),
        ("Renewal", agreement.renews_on),
        ("End", agreement.effective.upper),
    ):
        if day is not None and day >= on:
            return Deadline(agreement, what, day, (day - on).days)
    return None


def notice_passed(agreement: SupplierAgreement, on: date) -> bool:
    """It can no longer be given for the coming renewal."""
    by = notice_by(agreement)
    return by is not None and by < on and agreement.renews_on is not None and on < agreement.renews_on


# --- how much hangs on a supplier ---------------------------------------------------------------------------


@dataclass(slots=True)
class Ours:
    """How much of ours hangs on one supplier. Shares are exact; None where there is nothing to divide by.

    spend_minor   USD, of the last whole months, priced lines only; unpriced counts the others.
    features      Features that run on its models on the day; sole: on nobody else's.
    """

    spend_minor: int = 0
    spend_share: Fraction | None = None
    tokens: int = 0
    tokens_share: Fraction | None = None
    unpriced: int = 0
    features: list[str] = field(default_factory=list)
    bindings: list[Binding] = field(default_factory=list)
    sole: int = 0
    synthetic: bool = False


@dataclass(frozen=True, slots=True)
class Dependence:
    """By publisher id, over the months of [first, end), with the features as of a day."""

    first: date
    end: date
    features: int
    unpriced: int
    spent: int
    used: int
    by_publisher: Mapping[int, Ours]

    def on(self, company: Company) -> Ours | None:
        return self.by_publisher.get(company.publisher_id or 0)


def dependence(on: date) -> Dependence:
    """What hangs on each supplier: spend and traffic of the last whole months, features on the day. 6 queries."""
    end = month_of(on)
    first = add_months(end, -LOOKED_BACK)
    found: dict[int, Ours] = defaultdict(Ours)
    spent = used = unpriced = 0
    for line in spend_lines(first, end):
        ours = found[line.supplier_id]
        ours.tokens += line.tokens
        used += line.tokens
        ours.synthetic = ours.synthetic or line.synthetic
        minor = line.cost.minor if line.cost.currency == "USD" else None
        if minor is None:
            ours.unpriced += 1
            unpriced += 1
        else:
            ours.spend_minor += minor
            spent += minor
    suppliers: dict[int, set[int]] = defaultdict(set)
    for binding in bindings_on(on):
        publisher = binding.model_version.model.publisher_id
        found[publisher].bindings.append(binding)
        if binding.role != BindingRole.FALLBACK and binding.share_ppm != 0:
            suppliers[binding.feature_id].add(publisher)
            if str(binding.feature) not in found[publisher].features:
                found[publisher].features.append(str(binding.feature))
    for publishers in suppliers.values():
        if len(publishers) == 1:
            found[next(iter(publishers))].sole += 1
    for ours in found.values():
        ours.spend_share = Fraction(ours.spend_minor, spent) if spent else None
        ours.tokens_share = Fraction(ours.tokens, used) if used else None
    return Dependence(first, end, len(suppliers), unpriced, spent, used, dict(found))


def supplier_bases(ours: Ours | None, agreed: Sequence[SupplierAgreement]) -> dict[str, list[Basis]]:
    """What makes a company a supplier of ours beside a tie: its models power features, or something is agreed."""
    bases = []
    if ours is not None and ours.features:
        number = len(ours.features)
        bases.append(
            Basis(words=f"Its models power {number} feature{'s' if number > 1 else ''}", anchor="features")
        )
    bases += [Basis(words=f"{agreement.name} is in effect", anchor="agreements") for agreement in agreed]
    return {"Supplier to": bases} if bases else {}


# --- risks and statements -----------------------------------------------------------------------------------


def risk_events() -> "QuerySet[RiskEvent]":
    """Those that stand, the latest first, those without a date last. 1 query."""
    return (
        RiskEvent.objects.filter(superseded_at=None)
        .select_related("company", "fact", "recorded_by")
        .order_by(F("dated").desc(nulls_last=True), "-id")
    )


def facts_of(company: Company) -> list[PublicFact]:
    """Public statements that name the company or its models; of ourselves those on strategy, policy and market too. 2 queries."""
    words = {company.name.lower()}
    if company.publisher_id is not None:
        words |= {
            name.split()[0].lower()
            for name in AiModel.objects.filter(publisher=company.publisher_id).values_list("name", flat=True)
            if name
        }
    return [
        fact
        for fact in PublicFact.objects.order_by("paragraph", "id")
        if mentions(fact, words) or (company.is_operator and fact.kind in ABOUT_US)
    ]
