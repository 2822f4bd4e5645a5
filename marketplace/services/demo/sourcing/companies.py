"""Companies of the public statements as they are; agreements, dated risks and draws are made up and say so."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from accounts.models import User
from config.clock import day_of
from config.months import add_months, month_of
from marketplace.models import Company, Relationship
from marketplace.services.sourcing.companies import (
    AgreementDraft,
    record_agreement,
    record_draw,
    record_risk_event,
)
from marketplace.services.sourcing.company_data import load_companies

MADE_UP = "Made up for the demo"
COMMITMENT = "commit-anthropic"
# What the last months took of the compute commitment, in millions of USD, the last one first; it grows.
DRAWN = (352, 331, 318, 287, 264, 225, 183, 142)


def stage(*, people: Mapping[str, User], at: datetime) -> dict[str, int]:
    by, on = people["sourcing"], day_of(at)
    made = dict(load_companies(by=by, at=at))
    known = {company.slug: company for company in Company.objects.all()}
    agreed = _agreements(known, on)
    for draft in agreed:
        record_agreement(draft=draft, synthetic=True, by=by, at=at)
    risks = _risks(on)
    for slug, dated, severity, title, detail in risks:
        record_risk_event(
            company_id=known[slug].pk,
            dated=dated,
            severity=severity,
            title=title,
            detail=detail,
            source=MADE_UP,
            synthetic=True,
            by=by,
            at=at,
        )
    made["risk events"] += len(risks)
    return made | {"supplier agreements": len(agreed), "draws on commitments": _draws(by, at)}


def _agreements(known: Mapping[str, Company], on: date) -> list[AgreementDraft]:
    """Renewals at the first of a month, so that notice falls due before, near and well after the day of the demo."""
    return [
        AgreementDraft(
            supplier_id=known["anthropic"].pk,
            name="Model supply agreement",
            starts_on=add_months(on, -10),
            ends_on=add_months(on, 2),
            access="Claude models on the day of their release, for our products and for the catalog.",
            pricing="List prices less 8 %, by tokens; no volume floor.",
            discount_ppm=80_000,
            exclusivity="None, either way.",
            roadmap_asks="Processing in the EU data zone; longer notice before a model retires.",
            renews_on=add_months(on, 2),
            renews_by_itself=True,
            notice_days=30,
            source=MADE_UP,
        ),
        AgreementDraft(
            supplier_id=known["openai"].pk,
            name="Model access agreement",
            starts_on=add_months(on, -31),
            ends_on=add_months(on, 5),
            access="GPT and o-series models, before others where both agree.",
            pricing="List prices less 12 %, by tokens.",
            discount_ppm=120_000,
            exclusivity="None since its last revision.",
            roadmap_asks="Slide and spreadsheet quality; a smaller model for completions.",
            renews_on=add_months(on, 5),
            renews_by_itself=True,
            notice_days=90,
            source=MADE_UP,
        ),
        AgreementDraft(
            supplier_id=known["mistral-ai"].pk,
            name="Pilot agreement",
            starts_on=add_months(on, -11),
            ends_on=add_months(on, 1),
            access="Codestral and Mistral models, with processing in the EU.",
            pricing="List prices less 5 %.",
            discount_ppm=50_000,
            renews_on=add_months(on, 1),
            renews_by_itself=False,
            notice_days=45,
            source=MADE_UP,
        ),
        AgreementDraft(
            supplier_id=known["xai"].pk,
            name="Evaluation agreement",
            starts_on=add_months(on, -5),
            access="Grok models, for evaluation only.",
            source=MADE_UP,
        ),
        AgreementDraft(
            supplier_id=known["cohere"].pk,
            name="Trial agreement",
            starts_on=add_months(on, -20),
            ends_on=add_months(on, -8),
            access="Command and Embed models.",
            source=MADE_UP,
        ),
    ]


def _risks(on: date) -> list[tuple[str, date, str, str, str]]:
    return [
        (
            "openai",
            on - timedelta(days=134),
            "medium",
            "A price list changed with three weeks' notice",
            "Two features were moved to another model until the new prices were agreed.",
        ),
        (
            "anthropic",
            on - timedelta(days=58),
            "medium",
            "Capacity was short for four days",
            "Coding assistance ran on its fallback in one region.",
        ),
        (
            "mistral-ai",
            on - timedelta(days=17),
            "low",
            "The pilot ends unless somebody renews it",
            "The day for notice has passed; it does not renew by itself.",
        ),
        (
            "anthropic",
            add_months(on, 1) + timedelta(days=9),
            "high",
            "A bound model version retires",
            "Expected. Features bound to it have to move before.",
        ),
    ]


def _draws(by: User, at: datetime) -> int:
    """Nothing where the commitment is not there."""
    commitment = Relationship.objects.filter(fact__slug=COMMITMENT, superseded_at=None).first()
    if commitment is None:
        return 0
    for months, millions in enumerate(DRAWN, start=1):
        record_draw(
            relationship_id=commitment.pk,
            month=add_months(month_of(day_of(at)), -months),
            amount_minor=millions * 1_000_000_00,
            source=f"{MADE_UP}: bill of the month",
            synthetic=True,
            by=by,
            at=at,
        )
    return len(DRAWN)
