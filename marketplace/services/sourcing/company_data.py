"""Brings in what the data files state of companies: adds what is missing, and never again what people have corrected."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import transaction

from accounts.audit import acting
from accounts.models import User
from config.refusals import Invalid, Problem, refuse_if_any
from marketplace.importers import companies as source
from marketplace.importers.companies import StagedCompanies
from marketplace.models import (
    Bound,
    Company,
    Currency,
    PublicFact,
    Publisher,
    Relationship,
    RiskEvent,
)
from marketplace.selectors.public_facts import citation


@transaction.atomic
def load_companies(*, by: User, at: datetime, staged: StagedCompanies | None = None) -> Counter[str]:
    """A company for every publisher, those of the file, and the ties and risks that public facts state.

    The operator of this installation is the company of its slug, made if nothing sells under it.
    Returns   What was added, by kind; a second run adds nothing. 11 queries, whatever the size.
    Raises    Invalid naming what the file refers to and is not there.
    """
    acting(by=by, at=at, reason="Companies loaded from the data files")
    staged = staged or source.read()
    companies, added = _companies(staged)
    facts = {fact.slug: fact for fact in PublicFact.objects.all()}
    refuse_if_any(_missing(staged, companies, facts))
    added["relationships"] = _ties(staged, companies, facts, at)
    added["risk events"] = _risks(staged, companies, facts, at)
    return added


def companies_of(publishers: Iterable[Publisher]) -> None:
    """A company for each of new publishers; a slug that is taken is somebody else's. 2 queries."""
    taken = set(Company.objects.values_list("slug", flat=True))
    Company.objects.bulk_create(
        [
            Company(slug=publisher.slug, name=publisher.name, about=publisher.about, publisher=publisher)
            for publisher in publishers
            if publisher.slug not in taken
        ]
    )


def _companies(staged: StagedCompanies) -> tuple[dict[str, Company], Counter[str]]:
    there = {company.slug: company for company in Company.objects.all()}
    sells = {company.publisher_id for company in there.values()}
    own = str(settings.OPERATOR["slug"])
    has_operator = any(company.is_operator for company in there.values())
    wanted = {
        publisher.slug: Company(
            slug=publisher.slug, name=publisher.name, about=publisher.about, publisher=publisher
        )
        for publisher in Publisher.objects.order_by("name", "id")
        if publisher.pk not in sells
    }
    for row in staged.companies:
        wanted.setdefault(row.slug, Company(slug=row.slug, name=row.name, about=row.about))
    wanted.setdefault(own, Company(slug=own, name=str(settings.OPERATOR["name"])))
    missing = [company for slug, company in wanted.items() if slug not in there]
    for company in missing:
        company.is_operator = company.slug == own and not has_operator
    Company.objects.bulk_create(missing)
    return there | {company.slug: company for company in missing}, Counter(companies=len(missing))


def _missing(
    staged: StagedCompanies, companies: dict[str, Company], facts: dict[str, PublicFact]
) -> list[Problem]:
    found = []
    for number, tie in enumerate(staged.ties):
        found += [
            Problem("unknown_company", f"{tie.fact}: there is no company {slug}.", f"/relationships/{number}")
            for slug in (tie.payer, tie.payee)
            if slug not in companies
        ]
    for number, risk in enumerate(staged.risks):
        if risk.company not in companies:
            found.append(
                Problem(
                    "unknown_company", f"{risk.fact}: there is no company {risk.company}.", f"/risks/{number}"
                )
            )
    named = [
        *((f"/relationships/{number}", tie.fact) for number, tie in enumerate(staged.ties)),
        *((f"/risks/{number}", risk.fact) for number, risk in enumerate(staged.risks)),
    ]
    found += [
        Problem("unknown_fact", f"There is no public fact {slug}.", pointer)
        for pointer, slug in named
        if slug not in facts
    ]
    return found


def _ties(
    staged: StagedCompanies, companies: dict[str, Company], facts: dict[str, PublicFact], at: datetime
) -> int:
    exponents = dict(Currency.objects.values_list("code", "exponent"))
    known = set(Relationship.objects.exclude(fact=None).values_list("fact__slug", flat=True))
    made = []
    for tie in staged.ties:
        if tie.fact in known:
            continue
        fact = facts[tie.fact]
        amount = _minor(fact, exponents)
        made.append(
            Relationship(
                kind=tie.kind,
                payer=companies[tie.payer],
                payee=companies[tie.payee],
                amount_minor=amount,
                currency_id=fact.currency if amount is not None else None,
                bound=fact.bound if amount is not None else Bound.UNKNOWN,
                per=fact.per,
                status=fact.status,
                note=fact.note,
                fact=fact,
                source=citation(fact),
                recorded_at=at,
            )
        )
    Relationship.objects.bulk_create(made)
    return len(made)


def _minor(fact: PublicFact, exponents: dict[str, int]) -> int | None:
    if fact.amount is None:
        return None
    if fact.currency not in exponents:
        raise Invalid(
            Problem("amount_without_currency", f"{fact.slug}: its currency {fact.currency} is not known.")
        )
    return int(fact.amount * Decimal(10) ** exponents[fact.currency])


def _risks(
    staged: StagedCompanies, companies: dict[str, Company], facts: dict[str, PublicFact], at: datetime
) -> int:
    known = set(RiskEvent.objects.exclude(fact=None).values_list("fact__slug", flat=True))
    made = [
        RiskEvent(
            company=companies[risk.company],
            severity=risk.severity,
            title=risk.title,
            detail=facts[risk.fact].note[:1].upper() + facts[risk.fact].note[1:],
            fact=facts[risk.fact],
            source=citation(facts[risk.fact]),
            recorded_at=at,
        )
        for risk in staged.risks
        if risk.fact not in known
    ]
    RiskEvent.objects.bulk_create(made)
    return len(made)
