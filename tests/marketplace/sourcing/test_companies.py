"""What a sourcing lead records of companies: with a source, once, corrected by superseding; and what is refused."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from accounts.models import Role, User
from config.refusals import Forbidden, Refusal
from marketplace.importers.companies import StagedCompanies, StagedTie
from marketplace.models import (
    CommitmentDraw,
    Company,
    PublicFact,
    Publisher,
    Relationship,
    RiskEvent,
    SupplierAgreement,
    TermAssumption,
)
from marketplace.selectors.sourcing import companies as known
from marketplace.selectors.sourcing.flows import in_force
from marketplace.services.sourcing import companies as service
from marketplace.services.sourcing.companies import AgreementDraft, RelationshipDraft
from marketplace.services.sourcing.company_data import load_companies
from tests import make
from tests.marketplace.conftest import Catalog

pytestmark = pytest.mark.django_db
TODAY, AT = make.TODAY, make.AT


@pytest.fixture
def lead() -> User:
    return make.user(role=Role.SOURCING_LEAD, name="Lee Lead")


@pytest.fixture
def draft() -> RelationshipDraft:
    make.currency()
    return RelationshipDraft(
        kind="compute_commitment",
        payer_id=make.company(name="Lab").pk,
        payee_id=make.company(name="Us", operator=True).pk,
        amount_minor=30_000,
        currency="USD",
        bound="exact",
        source="contract, page 3",
    )


def refused(act: Callable[[], object]) -> list[tuple[str, str]]:
    """Codes and pointers; fails if it went through."""
    with pytest.raises(Refusal) as caught:
        act()
    return [(problem.code, problem.pointer) for problem in caught.value.problems]


def record(draft: RelationshipDraft, by: User, **changes: Any) -> Relationship:
    return service.record_relationship(draft=replace(draft, **changes), by=by, at=AT)


# Ties.


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"currency": ""}, [("amount_without_currency", "/currency")]),
        ({"currency": "XXX"}, [("unknown_currency", "/currency")]),
        ({"amount_minor": None, "currency": ""}, [("bound_without_amount", "/amount")]),
        ({"amount_minor": None, "bound": "unknown"}, [("currency_without_amount", "/currency")]),
        ({"bound": "unknown"}, [("amount_without_bound", "/bound")]),
        ({"amount_minor": -1}, [("amount_out_of_range", "/amount")]),
        ({"kind": "dependence"}, [("no_money", "/amount")]),
        ({"stake_ppm": 1}, [("stake_of_what", "/stake")]),
        ({"kind": "equity", "stake_ppm": 1_000_001}, [("stake_out_of_range", "/stake")]),
        (
            {"starts_on": date(2026, 2, 1), "ends_on": date(2026, 2, 1)},
            [("ends_before_it_starts", "/ends_on")],
        ),
        ({"source": "  "}, [("source_missing", "/source")]),
        (
            {"kind": "marriage", "status": "rumoured"},
            [("unknown_kind", "/kind"), ("unknown_status", "/status")],
        ),
    ],
)
def test_a_tie_that_makes_no_sense_is_refused_with_the_place_and_not_kept(
    draft: RelationshipDraft, lead: User, changes: dict[str, Any], said: list[tuple[str, str]]
) -> None:
    assert refused(lambda: record(draft, lead, **changes)) == said
    assert not Relationship.objects.exists()


def test_a_tie_needs_two_known_companies_and_is_recorded_once(draft: RelationshipDraft, lead: User) -> None:
    assert refused(lambda: record(draft, lead, payee_id=draft.payer_id)) == [("same_company", "/payee")]
    assert refused(lambda: record(draft, lead, payer_id=0)) == [("unknown_company", "/payer")]
    record(draft, lead)
    assert refused(lambda: record(draft, lead, source="another")) == [("already_recorded", "/kind")]
    rivals = replace(draft, kind="competition", amount_minor=None, currency="", bound="unknown")
    record(rivals, lead)
    turned = replace(rivals, payer_id=draft.payee_id, payee_id=draft.payer_id)
    assert refused(lambda: record(turned, lead)) == [("already_recorded", "/kind")]
    assert Relationship.objects.count() == 2


def test_only_a_sourcing_lead_records(draft: RelationshipDraft) -> None:
    for role in (Role.AUDITOR, Role.CATALOG_MANAGER, Role.PARTNER):
        with pytest.raises(Forbidden):
            record(draft, make.user(role=role))
    assert not Relationship.objects.exists()


def test_a_correction_takes_the_place_and_keeps_draws_and_assumption(
    draft: RelationshipDraft, lead: User
) -> None:
    old = record(draft, lead)
    service.state_term_assumption(
        relationship_id=old.pk,
        starts_on=date(2026, 1, 1),
        ends_on=date(2031, 1, 1),
        reason="Usual",
        by=lead,
        at=AT,
    )
    service.record_draw(
        relationship_id=old.pk, month=date(2026, 7, 9), amount_minor=5, source="bill", by=lead, at=AT
    )

    def correct(pk: int, **changes: Any) -> Relationship:
        return service.correct_relationship(
            relationship_id=pk, draft=replace(draft, **changes), reason="Misread", by=lead, at=AT
        )

    make.currency(code="EUR")
    assert refused(lambda: correct(old.pk, currency="EUR")) == [("has_draws", "/currency")]
    new = correct(old.pk, bound="at most")
    assert [tie.pk for tie in in_force(TODAY)] == [new.pk]
    assert CommitmentDraw.objects.get().relationship_id == new.pk
    assert TermAssumption.objects.get().superseded_at is None
    assert refused(lambda: correct(old.pk)) == [("superseded", "")]
    stated = correct(new.pk, starts_on=date(2026, 1, 1), ends_on=date(2030, 1, 1))
    assert TermAssumption.objects.get(relationship=stated).superseded_at == AT
    ended = service.end_relationship(
        relationship_id=stated.pk, ends_on=date(2026, 8, 1), reason="Given up", by=lead, at=AT
    )
    assert (ended.status, ended.ends_on) == ("ended", date(2026, 8, 1))
    assert not in_force(TODAY).exists()


def test_a_term_is_assumed_with_a_reason_once_and_never_against_what_is_stated(
    draft: RelationshipDraft, lead: User
) -> None:
    tie = record(draft, lead, starts_on=date(2026, 1, 1))

    def assume(start: date = date(2026, 1, 1), end: date = date(2031, 1, 1), reason: str = "Usual") -> Any:
        return service.state_term_assumption(
            relationship_id=tie.pk, starts_on=start, ends_on=end, reason=reason, by=lead, at=AT
        )

    assert refused(lambda: assume(reason=" ")) == [("reason_missing", "/reason")]
    assert refused(lambda: assume(end=date(2026, 1, 1))) == [("ends_before_it_starts", "/ends_on")]
    assert refused(lambda: assume(start=date(2026, 2, 1))) == [("against_what_is_stated", "/starts_on")]
    assume()
    assume(end=date(2033, 1, 1))
    assert [each.ends_on.year for each in TermAssumption.objects.filter(superseded_at=None)] == [2033]
    service.withdraw_term_assumption(relationship_id=tie.pk, reason="Too bold", by=lead, at=AT)
    assert not TermAssumption.objects.filter(superseded_at=None).exists()
    spend = make.relationship()
    assert refused(
        lambda: service.withdraw_term_assumption(relationship_id=spend.pk, reason="x", by=lead, at=AT)
    ) == [("no_commitment", "")]


def test_a_month_is_drawn_once_from_a_commitment_and_only_when_it_is_over(
    draft: RelationshipDraft, lead: User
) -> None:
    tie = record(draft, lead, starts_on=date(2026, 3, 1))

    def draw(month: date, amount: int = 7, of: int = tie.pk, **more: Any) -> CommitmentDraw:
        return service.record_draw(
            relationship_id=of, month=month, amount_minor=amount, source="bill", by=lead, at=AT, **more
        )

    assert refused(lambda: draw(date(2026, 8, 1))) == [("month_not_over", "/month")]
    assert refused(lambda: draw(date(2027, 1, 1))) == [("month_not_over", "/month")]
    assert refused(lambda: draw(date(2026, 2, 28))) == [("before_it_starts", "/month")]
    assert refused(lambda: draw(date(2026, 7, 1), -1)) == [("amount_out_of_range", "/amount")]
    assert refused(lambda: draw(date(2026, 7, 1), of=make.relationship().pk)) == [("no_commitment", "")]
    draw(date(2026, 7, 31))
    assert refused(lambda: draw(date(2026, 7, 1))) == [("month_recorded", "/month")]
    draw(date(2026, 7, 1), 9, replacing=True)
    live = CommitmentDraw.objects.filter(superseded_at=None)
    assert [(each.month, each.amount_minor) for each in live] == [(date(2026, 7, 1), 9)]


# Agreements and risks.


def test_agreements_of_a_supplier_never_share_a_day_and_a_correction_takes_the_place(lead: User) -> None:
    lab, other = make.company(name="Lab"), make.company(name="Other")
    first = AgreementDraft(
        supplier_id=lab.pk,
        name="Supply",
        starts_on=date(2026, 1, 1),
        ends_on=date(2027, 1, 1),
        source="contract",
        renews_on=date(2027, 1, 1),
        notice_days=30,
    )

    def agree(draft: AgreementDraft, **more: Any) -> SupplierAgreement:
        return service.record_agreement(draft=draft, by=lead, at=AT, **more)

    made = agree(first)
    overlapping = replace(first, name="More", starts_on=date(2026, 12, 31), ends_on=None, renews_on=None)
    assert refused(lambda: agree(replace(overlapping, notice_days=None))) == [
        ("agreements_overlap", "/starts_on")
    ]
    agree(replace(first, supplier_id=other.pk))
    agree(replace(overlapping, starts_on=date(2027, 1, 1), notice_days=None))
    assert refused(lambda: agree(first, corrects=made.pk)) == [("reason_missing", "/reason")]
    again = agree(replace(first, discount_ppm=50_000), corrects=made.pk, reason="The discount")
    assert list(known.agreements(TODAY).filter(supplier=lab)) == [again]
    late = replace(first, renews_on=date(2027, 1, 2), starts_on=date(2025, 1, 1))
    assert refused(lambda: agree(late)) == [("renews_after_it_ends", "/renews_on")]
    assert refused(lambda: agree(replace(first, renews_on=None))) == [("notice_of_what", "/renews_on")]
    us = make.company(name="Us", operator=True)
    assert refused(lambda: agree(replace(first, supplier_id=us.pk))) == [("own_supplier", "/supplier")]


@pytest.mark.parametrize(
    ("on", "said", "passed"),
    [
        (date(2026, 8, 30), ("Notice", 2), False),
        (date(2026, 9, 1), ("Notice", 0), False),
        (date(2026, 9, 2), ("Renewal", 29), True),
        (date(2026, 10, 2), ("End", 30), False),
        (date(2026, 11, 2), None, False),
    ],
)
def test_the_next_deadline_is_notice_then_renewal_then_the_end(
    on: date, said: tuple[str, int] | None, passed: bool
) -> None:
    """Renewal on 1 October with 30 days' notice: 1 September is the last day on which it counts."""
    agreement = make.agreement(
        supplier=make.company(),
        effective=(date(2026, 1, 1), date(2026, 11, 1)),
        renews_on=date(2026, 10, 1),
        notice_days=30,
    )
    agreement.refresh_from_db()
    found = known.next_deadline(agreement, on)
    assert (None if found is None else (found.what, found.days)) == said
    assert known.notice_passed(agreement, on) is passed


def test_a_risk_event_is_recorded_once_and_withdrawn_with_a_reason(lead: User) -> None:
    lab = make.company()

    def risk(**changes: Any) -> RiskEvent:
        given = {
            "company_id": lab.pk,
            "severity": "high",
            "title": "Short of capacity",
            "source": "status page",
        }
        return service.record_risk_event(**{**given, **changes}, by=lead, at=AT)

    assert refused(lambda: risk(severity="dire", title=" ")) == [
        ("title_missing", "/title"),
        ("unknown_severity", "/severity"),
    ]
    made = risk()
    assert refused(risk) == [("already_recorded", "/title")]
    assert refused(lambda: service.withdraw_risk_event(risk_event_id=made.pk, reason="", by=lead, at=AT)) == [
        ("reason_missing", "/reason")
    ]
    service.withdraw_risk_event(risk_event_id=made.pk, reason="Another company", by=lead, at=AT)
    assert not known.risk_events().exists()
    risk()


def test_a_company_is_recorded_once(lead: User) -> None:
    made = service.record_company(name="  Alpha   Compute ", by=lead, at=AT)
    assert (made.slug, made.name) == ("alpha-compute", "Alpha Compute")
    assert refused(lambda: service.record_company(name="ALPHA COMPUTE", by=lead, at=AT)) == [
        ("company_known", "/name")
    ]
    assert refused(lambda: service.record_company(name="!!", by=lead, at=AT)) == [
        ("name_unreadable", "/name")
    ]
    assert service.record_company(name="New", by=lead, at=AT).slug == "new-company"


# Roles.


def test_roles_follow_from_ties_and_our_own_records_and_show_which() -> None:
    us, lab, rival = (
        make.company(name="Us", operator=True),
        make.company(name="Lab"),
        make.company(name="Rival"),
    )
    spend = make.relationship(payer=us, payee=lab, kind="spend")
    stake = make.relationship(payer=us, payee=lab, kind="equity", amount_minor=None)
    bought = make.relationship(payer=lab, payee=us, kind="compute_commitment")
    apart = make.relationship(payer=rival, payee=lab, kind="competition", amount_minor=None)
    ties = list(in_force(TODAY))
    agreed = known.supplier_bases(None, [make.agreement(supplier=lab)])
    found = known.roles_of(lab, ties, us, agreed)
    assert [(role.short, [basis.tie for basis in role.bases if basis.tie]) for role in found] == [
        ("Supplier", [spend]),
        ("Customer", [bought]),
        ("We invest in it", [stake]),
        ("Related party", [stake]),
        ("Competitor of Rival", [apart]),
    ]
    assert found[0].bases[1].words.endswith("is in effect")
    assert [role.short for role in known.roles_of(rival, ties, us)] == ["Competitor of Lab"]
    assert known.roles_of(make.company(), ties, us) == []


# The data files.


def test_the_data_files_state_every_publisher_as_a_company_and_each_tie_as_its_fact_has_it(
    catalog: Catalog, lead: User
) -> None:
    added = load_companies(by=lead, at=AT)
    assert added == Counter(
        {"companies": Publisher.objects.count() + 2, "relationships": 8, "risk events": 3}
    )
    assert Company.objects.get(is_operator=True).publisher == Publisher.objects.get(origin="first")
    for tie in Relationship.objects.select_related("fact", "currency"):
        fact = tie.fact
        assert fact is not None
        assert (tie.per, tie.status, tie.note) == (fact.per, fact.status, fact.note)
        stated = None if fact.amount is None else int(fact.amount * 100)
        assert tie.amount_minor == stated
        assert tie.bound == (fact.bound if stated is not None else "unknown")
        assert (tie.starts_on, tie.ends_on, tie.stake_ppm, tie.synthetic) == (None, None, None, False)
    load_companies(by=lead, at=AT)
    corrected = Relationship.objects.get(fact__slug="equity-anthropic")
    service.end_relationship(relationship_id=corrected.pk, ends_on=TODAY, reason="Sold", by=lead, at=AT)
    assert not +load_companies(by=lead, at=AT)


def test_import_catalog_own_brings_in_companies_too_and_once(catalog: Catalog) -> None:
    for said in ("companies: 11 added", "companies: 0 added"):
        out = StringIO()
        call_command(
            "import_catalog", "own", by=catalog.maker.email, checked_by=catalog.checker.email, stdout=out
        )
        assert said in out.getvalue()


def test_a_data_file_that_names_what_is_not_there_loads_nothing(catalog: Catalog, lead: User) -> None:
    wrong = StagedCompanies((), (StagedTie("no-such-fact", "spend", "microsoft", "nobody"),), ())
    assert refused(lambda: load_companies(by=lead, at=AT, staged=wrong)) == [
        ("unknown_company", "/relationships/0"),
        ("unknown_fact", "/relationships/0"),
    ]
    assert not Company.objects.exists()
    assert PublicFact.objects.exists()
