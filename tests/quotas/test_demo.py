"""The demo: the same from the same seed, true to the catalog, complete, and loaded once."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Count, F
from django.test import Client

from accounts.models import AuditEvent, User
from config.models import Job
from marketplace.importers import own
from marketplace.models import CommercialPath, Lifecycle, Offering
from marketplace.selectors.on_sale import not_sellable
from quotas.crediting.invariants import broken
from quotas.demo import calendar
from quotas.demo.dice import Dice, apportion
from quotas.demo.market import OfferingFact, PlanFact
from quotas.demo.organisation import LOG_INS
from quotas.demo.plan import DRAFT_RULES, SLUG
from quotas.demo.scale import FULL, SMALL
from quotas.demo.targets import BOOKINGS
from quotas.demo.world import World, world
from quotas.management.commands import load_demo
from quotas.models import (
    CreditEntry,
    CreditTotal,
    CustomerTerritory,
    Deal,
    DealEvent,
    DealKind,
    DealLine,
    DealShare,
    DealState,
    DealVersion,
    ParityProof,
    ParityVerdict,
    Period,
    PeriodClose,
    PlanAssignment,
    PlanVersion,
    Quota,
    Rep,
    RuleVersion,
    SalesImport,
    Statement,
    TeamMembership,
    Territory,
    TerritoryAssignment,
)
from quotas.selectors import impact, recredits
from quotas.selectors.linter import Weight, findings_of
from quotas.selectors.parity import Between, newest_proof, report_of_period, rules_digest_of
from quotas.selectors.plans import SIMULATE
from quotas.services import auditing, demo, sealing
from quotas.services.approving import approvals_waiting_for
from quotas.services.demo_evidence import SAMPLE

TODAY = date(2026, 8, 14)
CLEAN, REFUSED = ParityVerdict.CLEAN, ParityVerdict.REFUSED


def offerings() -> list[OfferingFact]:
    """What the project's own catalog data has for sale, without a database."""
    return [
        OfferingFact(
            slug=offering.slug,
            name=offering.facts["name"],
            publisher=offering.publisher,
            kind=offering.facts["kind"],
            available_on=offering.facts.get("available_on"),
            deprecated_on=offering.facts.get("deprecated_on"),
            retires_on=offering.facts.get("retires_on"),
            plans=tuple(PlanFact(plan.slug, plan.facts["pricing_form"]) for plan in offering.plans),
        )
        for offering in own.read().offerings
        if offering.facts["commercial_path"] != CommercialPath.INTERNAL
    ]


def small(seed: int = 7) -> World:
    return world(seed=seed, today=TODAY, scale="small", offerings=offerings())


@pytest.fixture(scope="module")
def full() -> World:
    return world(seed=7, today=TODAY, scale="full", offerings=offerings())


# The generators, without a database


def test_the_same_seed_gives_the_same_world_and_another_seed_another() -> None:
    assert small().digest() == small().digest()
    assert small().digest() != small(seed=8).digest()


def test_the_order_of_the_catalog_does_not_matter() -> None:
    backwards = world(seed=7, today=TODAY, scale="small", offerings=list(reversed(offerings())))
    assert backwards.digest() == small().digest()


def test_one_more_throw_of_one_part_moves_nothing_in_another() -> None:
    bookings, other = Dice(7, "bookings", "a"), Dice(7, "bookings", "b")
    first = [other.number(0, 10**9) for _ in range(5)]
    bookings.part()
    assert [Dice(7, "bookings", "b").number(0, 10**9), *first[1:]] == first


def test_apportioned_parts_add_up_and_none_is_below_the_least() -> None:
    assert apportion(10, [1, 1, 1], least=1) == [4, 3, 3]
    assert apportion(5, [0.1, 0.1, 99.8], least=1) == [1, 1, 3]
    with pytest.raises(ValueError, match="cannot give 2 to each of 3"):
        apportion(5, [1, 1, 1], least=2)


def test_the_full_demo_has_the_promised_size(full: World) -> None:
    kinds, outcomes = Counter(d.kind for d in full.deals), Counter(d.outcome for d in full.deals)
    assert len(full.deals) == 25_000
    assert kinds["consumption"] == 6_000
    assert kinds["refund"] == FULL.refunds
    assert (outcomes["submitted"], outcomes["held"], outcomes["cancelled"]) == (60, 10, 50)
    teams = full.organisation.teams
    assert len([team for team in teams if team.segment]) == 45
    assert len(teams) == 1 + 3 + 15 + 45
    sellers = [p for p in full.organisation.people if p.sells and p.works(TODAY)]
    assert 380 <= len(sellers) <= 420
    assert any(p.left_on for p in full.organisation.people)
    assert any(len(p.stays) == 2 for p in full.organisation.people)
    assert any(p.role == "house" for p in full.organisation.people)


def test_shares_are_split_often_oddly_and_always_whole(full: World) -> None:
    split = [d.shares for d in full.deals if d.kind != "consumption"]
    assert all(sum(ppm for _, ppm in shares) == 1_000_000 for shares in split)
    assert all(len({rep for rep, _ in shares}) == len(shares) for shares in split)
    several = sum(len(shares) > 1 for shares in split) / len(split)
    assert 0.2 < several < 0.3
    assert {len(shares) for shares in split} == {1, 2, 3}
    assert any(ppm % 1000 for shares in split for _, ppm in shares)


def test_what_is_sold_and_used_is_on_sale_on_the_day(full: World) -> None:
    catalog = {
        o.slug: Offering(available_on=o.available_on, deprecated_on=o.deprecated_on, retires_on=o.retires_on)
        for o in offerings()
    }
    stages = {
        catalog[line.offering].lifecycle_on(deal.close_date) for deal in full.deals for line in deal.lines
    }
    assert stages <= {Lifecycle.GENERALLY_AVAILABLE, Lifecycle.LEGACY}


def test_anthropic_grows_from_nothing_to_a_quarter_of_demand(full: World) -> None:
    found = {offering.slug: offering.publisher for offering in offerings()}
    lines: dict[str, Counter[str]] = defaultdict(Counter)
    for deal in full.deals:
        for line in deal.lines:
            lines[f"{deal.close_date:%Y-%m}"][found[line.offering]] += 1
    share = {month: count["anthropic"] / count.total() for month, count in lines.items()}
    assert share["2025-10"] == 0
    assert 0.1 < share["2025-12"] < share["2026-07"]
    assert 0.2 < share["2026-07"] < 0.35


def test_months_are_named_by_fiscal_year_and_closed_when_over() -> None:
    found = {period.name: period for period in calendar.periods()}
    assert len(found) == 2 * (1 + 2 + 4 + 12)
    assert (found["FY27"].starts, found["FY27"].ends) == (date(2026, 7, 1), date(2027, 7, 1))
    assert (found["FY27-M02"].starts, found["FY27-M02"].ends) == (date(2026, 8, 1), date(2026, 9, 1))
    assert found["FY26-M08"].starts == date(2026, 2, 1)
    assert (found["FY27-M08"].quarter, found["FY27-M08"].half, found["FY27-M08"].year) == (
        "FY27-Q3",
        "FY27-H2",
        "FY27",
    )
    states = calendar.states(TODAY)
    assert [states[name] for name in ("FY26-M11", "FY26-M12", "FY27-M02", "FY27-M03")] == [
        "closed",
        "open",
        "open",
        "future",
    ]


def test_managers_hand_out_more_than_is_asked_of_them(full: World) -> None:
    asked = full.targets
    team = full.organisation.home
    mine = [p.slug for p in full.organisation.sellers(team, TODAY)]
    together = sum(asked.reps[BOOKINGS, "FY27-Q1", slug] for slug in mine)
    assert 0.9 * together < asked.teams[BOOKINGS, "FY27-Q1", team] < together
    quarters = sum(asked.reps[BOOKINGS, f"FY27-Q{nth}", mine[0]] for nth in (1, 2, 3, 4))
    assert asked.reps[BOOKINGS, "FY27", mine[0]] == quarters


# What is loaded


CHECKS: list[Callable[[demo.Loaded], None]] = []


def of_the_demo(check: Callable[[demo.Loaded], None]) -> Callable[[demo.Loaded], None]:
    """Something that holds of the demo once it is loaded; loading takes seconds, so that all look at one."""
    CHECKS.append(check)
    return check


@pytest.mark.django_db(databases=["default", "owner"], transaction=True)
def test_the_demo_as_it_is_loaded(subtests: pytest.Subtests, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command, once; what it says is looked at here, what it loads by the checks."""
    loads: list[demo.Loaded] = []

    def overheard(**given: Any) -> demo.Loaded:
        loads.append(demo.load_demo(**given))
        return loads[-1]

    monkeypatch.setattr(load_demo, "load_demo", overheard)
    first, second = StringIO(), StringIO()
    call_command("load_demo", scale="small", stdout=first)
    assert len(CHECKS) > 10
    for check in CHECKS:
        with subtests.test(check.__name__):
            check(loads[0])
    call_command("load_demo", scale="small", stdout=second)
    assert first.getvalue().startswith("Demo loaded in ")
    assert f"{SMALL.deals} deals" in first.getvalue()
    assert second.getvalue() == "The demo is loaded already.\n"


def attainment(period: str, measure: str = BOOKINGS) -> dict[int, float]:
    credited: Counter[int] = Counter()
    for total in CreditTotal.objects.filter(period__name=period, measure__slug=measure, basis=1):
        credited[total.rep_id] += total.direct_minor
    quotas = Quota.objects.filter(period__name=period, measure__slug=measure).exclude(rep=None)
    return {quota.rep_id: credited[quota.rep_id] / quota.amount_minor for quota in quotas if quota.rep_id}


def user(name: str) -> User:
    return User.objects.get(email=f"{name}@demo.example")


@of_the_demo
def everything_that_was_generated_is_there_and_the_ledger_holds(loaded: demo.Loaded) -> None:
    made = small()
    assert loaded.digest == made.digest()
    generated = Deal.objects.exclude(source=demo.CRM_SOURCE).exclude(latest_version__title=demo.LARGE_DEAL)
    assert generated.count() == SMALL.deals == loaded.counts["deals"]
    wanted: Counter[str] = Counter(d.outcome for d in made.deals)
    wanted["approved"] += wanted["held"]
    assert Counter(generated.values_list("state", flat=True)) == {
        k: v for k, v in wanted.items() if k != "held"
    }
    assert Deal.objects.filter(held=True).count() == SMALL.held
    first = DealLine.objects.filter(version__number=1, version__deal__in=generated)
    assert first.count() == sum(len(d.lines) for d in made.deals)
    shares = DealShare.objects.filter(version__number=1, version__deal__in=generated)
    assert shares.count() == sum(len(d.shares) for d in made.deals)
    assert CreditEntry.objects.count() > 700
    run = SalesImport.objects.get()
    assert run.counts["new"] == loaded.counts["deals out of a CRM's file"] >= 2
    assert run.counts["refused"] >= 1
    assert broken() == {}


@of_the_demo
def every_line_is_on_an_offering_that_the_catalog_sells_on_the_close_date(loaded: demo.Loaded) -> None:
    sold: dict[date, set[int]] = defaultdict(set)
    for offering, day in DealLine.objects.values_list("offering_id", "version__close_date"):
        sold[day].add(offering)
    assert {day: found for day, ids in sold.items() if (found := not_sellable(ids, day))} == {}
    assert DealLine.objects.filter(offering_revision=None).count() == 0
    assert not Offering.objects.filter(
        commercial_path=CommercialPath.INTERNAL, pk__in=set().union(*sold.values())
    ).exists()


@of_the_demo
def everybody_who_has_a_share_was_in_a_team_on_the_day(loaded: demo.Loaded) -> None:
    spans: dict[int, list[Any]] = defaultdict(list)
    for stay in TeamMembership.objects.all():
        spans[stay.rep_id].append(stay.effective)
    shares = DealShare.objects.values_list("rep_id", "version__close_date")
    assert [(rep, day) for rep, day in shares if not any(day in span for span in spans[rep])] == []


@of_the_demo
def a_second_load_changes_nothing(loaded: demo.Loaded) -> None:
    before = (AuditEvent.objects.count(), Deal.objects.count(), CreditEntry.objects.count())
    assert demo.load_demo(scale="small", seed=7, today=TODAY).counts == {}
    assert demo.load_demo(scale="full", seed=8, today=TODAY).counts == {}
    assert (AuditEvent.objects.count(), Deal.objects.count(), CreditEntry.objects.count()) == before


@of_the_demo
def every_log_in_works_and_has_its_role(loaded: demo.Loaded) -> None:
    for known in LOG_INS:
        client = Client()
        assert client.login(username=f"{known.name}@demo.example", password="demo"), known.name
        assert user(known.name).role_names == set(known.roles)
    assert user("partner").publisher_membership.publisher.slug == "anthropic"
    assert not Client().login(username="crm@demo.example", password="demo")


@of_the_demo
def fourteen_deals_wait_for_the_manager_and_the_rep_stands_in_the_middle(loaded: demo.Loaded) -> None:
    everything = approvals_waiting_for(user("manager"), TODAY)
    waiting = everything.filter(state=DealState.SUBMITTED)
    assert waiting.count() == SMALL.waiting_at_home == 14
    assert everything.filter(amended_at__isnull=False).count() == 2
    assert not waiting.filter(submitted_by=user("manager")).exists()
    rep = Rep.objects.get(user=user("rep"))
    mine = Counter(Deal.objects.filter(owner=rep).values_list("state", flat=True))
    assert mine["draft"] >= 3
    assert mine["returned"] >= 1
    assert Deal.objects.filter(owner=rep, state=DealState.SUBMITTED, submitted_by=user("rep")).count() >= 2
    team = TeamMembership.objects.get(rep=rep).team
    mates = set(
        TeamMembership.objects.filter(team=team).exclude(role="manager").values_list("rep_id", flat=True)
    )
    reached = attainment("FY27-Q1")
    order = sorted(mates, key=lambda pk: -reached[pk])
    assert 9 <= len(mates) <= 11
    assert 2 <= order.index(rep.pk) <= len(order) - 3
    assert 0.35 < reached[rep.pk] < 0.6  # the pace is 44 days of 92


@of_the_demo
def attainment_has_a_spread_that_a_sales_floor_would_recognise(loaded: demo.Loaded) -> None:
    year = sorted(attainment("FY26").values())
    assert year[0] > 0.5
    assert year[-1] < 1.5
    assert 0.8 < year[len(year) // 2] < 1.1
    quarter = sorted(attainment("FY27-Q1").values())
    assert quarter[0] < 0.3
    assert quarter[-1] > 0.8


@of_the_demo
def closed_months_have_credit_and_what_was_cancelled_later_is_posted_into_an_open_one(
    loaded: demo.Loaded,
) -> None:
    closed = Period.objects.filter(grain="M", state="closed")
    assert [p.name for p in closed.order_by("starts")] == [f"FY26-M{nth:02}" for nth in range(1, 12)]
    assert all(CreditEntry.objects.filter(posting_period=month).exists() for month in closed)
    adjusted = CreditEntry.objects.filter(origin_period__in=closed).exclude(posting_period__in=closed)
    assert {entry.posting_period.name for entry in adjusted} == {"FY26-M12"}
    assert len({entry.deal_id for entry in adjusted if entry.deal_id}) == SMALL.cancelled_late
    assert all(entry.reverses_id for entry in adjusted if entry.deal_id)
    closes = PeriodClose.objects.order_by("pk")
    assert [(str(close), close.state) for close in closes] == [
        ("FY26-M10 v1", "closed"),
        ("FY26-M11 v1", "closed"),
    ]
    assert sealing.verify(invariants_too=False).wrong == []


@of_the_demo
def consumption_is_credited_to_the_owner_of_the_account(loaded: demo.Loaded) -> None:
    statements = Deal.objects.filter(credited_version__kind=DealKind.CONSUMPTION)
    assert statements.count() == SMALL.statements
    owner = dict(statements.values_list("pk", "owner_id"))
    entries = CreditEntry.objects.filter(deal_id__in=owner)
    assert entries.exists()
    assert [e.deal_id for e in entries if owner[e.pins.deal_id] != e.rep_id] == []
    assert DealVersion.objects.filter(kind=DealKind.CONSUMPTION, shares__isnull=False).count() == 0


@of_the_demo
def the_last_bills_are_true_ups_and_the_running_month_is_an_estimate(loaded: demo.Loaded) -> None:
    statements = Deal.objects.filter(credited_version__kind=DealKind.CONSUMPTION)
    months: dict[str, set[int]] = defaultdict(set)
    for closes, versions in statements.annotate(n=Count("versions")).values_list(
        "credited_version__close_date", "n"
    ):
        months[f"{closes:%Y-%m}"].add(versions)
    assert (months["2026-03"], months["2026-06"], months["2026-07"], months["2026-08"]) == (
        {1},
        {2},
        {2},
        {1},
    )
    lines = DealLine.objects.filter(version__in=statements.values("credited_version"))
    running = lines.filter(version__close_date__gte=date(2026, 8, 1))
    assert running.exists()
    assert not running.exclude(billed_minor=None).exists()
    assert not lines.filter(version__close_date__lt=date(2026, 8, 1), billed_minor=None).exists()
    assert lines.exclude(billed_minor=F("amount_minor")).exclude(billed_minor=None).exists()


@of_the_demo
def amendments_wait_a_part_is_cancelled_and_a_capped_deal_is_refunded(loaded: demo.Loaded) -> None:
    waiting = Deal.objects.filter(amended_at__isnull=False)
    assert sorted(waiting.values_list("amended_by__email", flat=True)) == [
        *("admin@demo.example", "rep@demo.example")  # of the full demo's three, whose rep has sold more
    ]
    assert all(deal.latest_version_id != deal.credited_version_id for deal in waiting)
    assert DealEvent.objects.filter(action="partly_cancelled").count() == 1
    first = Deal.objects.get(external_id="REF-00001")
    second = Deal.objects.get(external_id="REF-00002")
    assert first.latest_version is not None
    assert second.latest_version is not None
    assert first.latest_version.refunds_id == second.latest_version.refunds_id


@of_the_demo
def no_published_rule_names_a_publisher_and_one_draft_does(loaded: demo.Loaded) -> None:
    published = PlanVersion.objects.filter(state="published")
    draft, counter = PlanVersion.objects.exclude(state="published").order_by("number")
    assert (draft.state, counter.state) == ("draft", "draft")
    assert draft.drafted_by != counter.drafted_by
    assert published.count() == 2
    assert all(version.drafted_by_id != version.published_by_id for version in published)
    for field in ("publishers", "families", "offerings", "paths"):
        blind = RuleVersion.objects.filter(plan_version__in=[*published, counter])
        assert not blind.exclude(**{field: None}).exists()
    assert draft.rules.exclude(publishers=None).count() == 1


@of_the_demo
def what_is_published_is_blind_to_the_publisher_and_the_draft_is_refused(loaded: demo.Loaded) -> None:
    proof = ParityProof.objects.get(plan_version__plan__slug=SLUG, plan_version__number=2)
    assert proof.rules_verdict == REFUSED
    (finding,) = proof.findings["rules"]["findings"]
    assert (finding["rule"]["name"], finding["clauses"][0]["name"]) == (DRAFT_RULES[-1].name, "publishers")
    assert finding["clauses"][0]["values"] == ["Microsoft"]
    assert proof.findings["history"]["findings"][0]["lines"] > 0
    year = Period.objects.get(name="FY26")
    found = report_of_period(year, between=Between.parse("origin"), on=TODAY)
    assert found.rules_verdict == CLEAN
    lines = DealLine.objects.filter(
        version__in=Deal.objects.filter(state=DealState.APPROVED, held=False).values("credited_version"),
        version__close_date__range=(year.starts, year.ends - timedelta(days=1)),
    )
    assert found.lines_checked == lines.count() > 0
    quarter = Period.objects.get(name="FY27-Q1")
    kept = newest_proof(quarter, Between.parse("origin"))
    assert kept is not None
    assert (kept.rules_verdict, kept.rules_digest) == (CLEAN, rules_digest_of(quarter))
    microsoft_against_anthropic = Between.parse("publisher:microsoft,anthropic")
    assert report_of_period(quarter, between=microsoft_against_anthropic, on=TODAY).passes


@of_the_demo
def long_work_was_done_and_can_be_looked_at(loaded: demo.Loaded) -> None:
    jobs = Job.objects.order_by("pk")
    assert set(jobs.values_list("state", flat=True)) == {"done"}
    one, other = jobs.filter(kind=SIMULATE)
    assert impact.comparable(one, other)
    (bookings, *_) = impact.side_by_side(one, other, "publishers")
    assert len({pair.apart for pair in bookings.pairs} - {0}) > 1, "the drafts differ by whom they favour"
    run = jobs.get(kind=recredits.KIND)
    assert recredits.written(run) > 0
    assert run.counts.get(recredits.POSTED_LATER, 0) == 0, "the month is open"
    pack, statements = jobs.get(kind=auditing.PACK), jobs.get(kind="quotas.statements")
    assert pack.counts == {"not as computed again": 0, "seal broken": 0, "not sealed yet": 0}
    assert (pack.done, pack.files.exists()) == (SAMPLE, True)
    assert (statements.done, statements.files.exists()) == (
        Statement.objects.filter(close=PeriodClose.objects.latest("pk")).count(),
        True,
    )
    assert jobs.get(kind=auditing.VERIFICATION).result["holds"] is True


@of_the_demo
def plans_have_components_assignments_and_rules_that_the_linter_lets_pass(loaded: demo.Loaded) -> None:
    everybody, of_a_role = PlanAssignment.objects.order_by("plan_id")
    assert (everybody.role, everybody.rep_id, of_a_role.role) == ("", None, "account_executive")
    field_plan = PlanVersion.objects.get(plan=everybody.plan, number=1)
    assert sum(c.weight_ppm for c in field_plan.components.all()) == 1_000_000
    for version in PlanVersion.objects.all():
        assert [f.message for f in findings_of(version) if f.weight != Weight.TELLS] == []
    spiff = CreditEntry.objects.filter(rule_version__plan_version__plan=of_a_role.plan)
    assert spiff.exists()
    assert set(TeamMembership.objects.filter(rep__in=spiff.values("rep")).values_list("role", flat=True)) == {
        "account_executive"
    }


@of_the_demo
def specialists_earn_overlay_in_their_territory_and_house_reps_what_nobody_covers(
    loaded: demo.Loaded,
) -> None:
    overlay = CreditEntry.objects.filter(receiver_class=2)
    assert overlay.exists()
    roles = TeamMembership.objects.filter(rep__in=overlay.values("rep")).values_list("role", flat=True)
    assert set(roles) <= {"specialist", "house"}
    for entry in overlay.select_related("deal"):
        covering = TerritoryAssignment.objects.filter(
            effective__contains=entry.credit_date,
            territory__in=CustomerTerritory.objects.filter(
                customer__in=Deal.objects.filter(pk=entry.pins.deal_id).values("customer")
            ).values("territory"),
        )
        houses = Territory.objects.filter(house_rep=entry.rep_id)
        assert covering.filter(rep=entry.rep_id).exists() or (houses.exists() and not covering.exists())
    assert not DealShare.objects.filter(rep__in=overlay.values("rep")).exists()


@of_the_demo
def nothing_is_later_than_the_evening_before_the_anchor_date(loaded: demo.Loaded) -> None:
    latest = AuditEvent.objects.latest("at").at
    assert latest.date() < TODAY
    assert max(CreditEntry.objects.values_list("credit_date", flat=True)) < TODAY


def test_a_load_that_fails_half_way_leaves_nothing(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(*_args: object, **_named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "_approve", break_off)
    with pytest.raises(KeyboardInterrupt):
        demo.load_demo(scale="small", seed=7, today=TODAY)
    assert not User.objects.exists()
    assert not Deal.objects.exists()


def test_the_command_refuses_outside_demo_mode(settings: Any) -> None:
    settings.DEMO_MODE = False
    with pytest.raises(CommandError, match="demo mode only"):
        call_command("load_demo")


def test_scales_differ_in_size_and_not_in_shape() -> None:
    assert {field.name for field in dataclasses.fields(SMALL)} == {
        field.name for field in dataclasses.fields(FULL)
    }
    assert set(SMALL.areas) < set(FULL.areas)
    assert set(SMALL.segments) < set(FULL.segments)
