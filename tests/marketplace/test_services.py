"""Publishing, retiring and pricing: checked, recorded as revisions, told to whoever listens."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from accounts.models import AuditEvent, User
from config.models import OutboxMessage
from config.outbox import carry_out
from config.refusals import Conflict, Forbidden, Invalid, NotFound, Stale
from marketplace import extension
from marketplace.extension import Change, Impact
from marketplace.models import OfferingRevision, PriceVersion, Publication
from marketplace.services.pricing import RowDraft, add_price_version, correct_price_version
from marketplace.services.publishing import WAYS, move_publication, publish_offering, retire_offering
from tests import make

ON = date(2026, 8, 14)
AT = datetime(2026, 8, 14, 9, tzinfo=UTC)
ROWS = (
    RowDraft("input-tokens", 1_000_000, "token", Decimal("2.5")),
    RowDraft("output-tokens", 1_000_000, "token", None),
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def manager() -> User:
    return make.user(role="catalog_manager")


# Publication.


def test_the_whole_way_onto_the_shelf_makes_a_revision_a_step(manager: User) -> None:
    offering = make.offering(publication="draft")
    make.plan(offering=offering)
    steps = (Publication.SUBMITTED, Publication.IN_REVIEW, Publication.APPROVED)
    for to in steps:
        move_publication(offering_id=offering.pk, to=to, by=manager, at=AT, reason="Checked")
    publish_offering(offering_id=offering.pk, by=manager, at=AT, reason="Launch day")
    offering.refresh_from_db()
    assert (offering.publication, offering.revision) == ("live", 5)
    assert [r.body["publication"] for r in offering.revisions.order_by("number")[1:]] == [*steps, "live"]
    event = AuditEvent.objects.filter(table="marketplace_offering", row=offering.pk, action="update").latest(
        "id"
    )
    assert (event.actor, event.reason) == (manager, "Launch day")


def test_no_step_is_skipped_and_nothing_leads_out_of_the_archive(manager: User) -> None:
    offering = make.offering(publication="draft")
    make.plan(offering=offering)
    with pytest.raises(Conflict) as refused:
        publish_offering(offering_id=offering.pk, by=manager, at=AT)
    assert refused.value.problems[0].code == "no_such_step"
    offering.refresh_from_db()
    assert (offering.publication, offering.revision) == ("draft", 1)
    assert WAYS[Publication.ARCHIVED] == ()
    assert set(WAYS) == set(Publication)


def test_what_has_no_plan_is_not_published(manager: User) -> None:
    offering = make.offering(publication="approved")
    with pytest.raises(Invalid) as refused:
        publish_offering(offering_id=offering.pk, by=manager, at=AT)
    assert refused.value.problems[0].code == "no_plan"


def test_a_stale_reader_changes_nothing(manager: User) -> None:
    offering = make.offering()
    with pytest.raises(Stale):
        move_publication(
            offering_id=offering.pk, to=Publication.STOPPED, by=manager, at=AT, expected_revision=2
        )
    offering.refresh_from_db()
    assert offering.publication == "live"


def test_others_may_not_publish(manager: User) -> None:
    offering = make.offering()
    for role in ("rep", "manager", "partner", "comp_admin"):
        with pytest.raises(Forbidden):
            move_publication(offering_id=offering.pk, to=Publication.STOPPED, by=make.user(role=role), at=AT)
    with pytest.raises(NotFound):
        publish_offering(offering_id=0, by=manager, at=AT)
    assert OfferingRevision.objects.filter(offering=offering).count() == 1


# Retirement.


def test_legacy_and_deprecation_follow_from_the_retirement(manager: User) -> None:
    offering, newer = make.offering(), make.offering()
    fresh = retire_offering(
        offering_id=offering.pk,
        retires_on=date(2027, 1, 31),
        on=ON,
        replacement_id=newer.pk,
        by=manager,
        at=AT,
    )
    assert (fresh.legacy_on, fresh.deprecated_on, fresh.retires_on) == (
        date(2026, 10, 3),
        date(2026, 11, 2),
        date(2027, 1, 31),
    )
    assert fresh.replacement == newer
    assert fresh.revisions.get(number=2).body["replacement"] == newer.slug


def test_a_retirement_needs_its_notice(manager: User) -> None:
    offering = make.offering()
    with pytest.raises(Invalid) as refused:
        retire_offering(
            offering_id=offering.pk, retires_on=ON + timedelta(days=119), on=ON, by=manager, at=AT
        )
    assert refused.value.problems[0].code == "too_soon"
    assert "12 Dec 2026" in refused.value.problems[0].message
    retire_offering(offering_id=offering.pk, retires_on=ON + timedelta(days=120), on=ON, by=manager, at=AT)


@pytest.mark.parametrize("case", ["itself", "nobody", "retires_first"])
def test_a_replacement_has_to_outlive_what_it_replaces(manager: User, case: str) -> None:
    offering = make.offering()
    brief = make.offering(retires_on=date(2027, 1, 1))
    replacement, code = {
        "itself": (offering.pk, "replaces_itself"),
        "nobody": (0, "unknown_replacement"),
        "retires_first": (brief.pk, "replacement_retires_first"),
    }[case]
    with pytest.raises(Invalid) as refused:
        retire_offering(
            offering_id=offering.pk,
            retires_on=date(2027, 1, 31),
            on=ON,
            replacement_id=replacement,
            by=manager,
            at=AT,
        )
    assert refused.value.problems[0].code == code
    offering.refresh_from_db()
    assert offering.retires_on is None


def test_what_is_retired_stays_so(manager: User) -> None:
    offering = make.offering(retires_on=ON)
    with pytest.raises(Conflict):
        retire_offering(offering_id=offering.pk, retires_on=date(2028, 1, 1), on=ON, by=manager, at=AT)


# Prices.


def add(manager: User, plan_id: int, start: date, end: date | None = None, **more: object) -> PriceVersion:
    return add_price_version(
        plan_id=plan_id,
        currency="USD",
        start=start,
        end=end,
        rows=ROWS,
        source="Price list",
        by=manager,
        at=AT,
        **more,  # type: ignore[arg-type]
    )


def test_a_price_keeps_unknown_apart_from_free(manager: User) -> None:
    make.currency()
    version = add(manager, make.plan().pk, ON)
    assert {r.meter: r.amount for r in version.rows.all()} == {
        "input-tokens": Decimal("2.5"),
        "output-tokens": None,
    }


def test_an_overlap_is_refused_and_named(manager: User) -> None:
    make.currency()
    plan = make.plan()
    first = add(manager, plan.pk, ON)
    with pytest.raises(Conflict) as refused:
        add(manager, plan.pk, date(2026, 9, 1))
    assert (
        f"Price version {first.pk} holds from 14 Aug 2026 to further notice"
        in refused.value.problems[0].message
    )
    assert PriceVersion.objects.count() == 1


def test_a_new_price_may_end_the_open_one_before_it(manager: User) -> None:
    make.currency()
    plan = make.plan()
    first = add(manager, plan.pk, ON)
    add(manager, plan.pk, date(2026, 9, 1), ends_previous=True)
    first.refresh_from_db()
    assert (first.effective.lower, first.effective.upper) == (ON, date(2026, 9, 1))
    with pytest.raises(Conflict):
        add(manager, plan.pk, date(2026, 8, 20), date(2026, 8, 25), ends_previous=True)


def test_other_markets_and_currencies_have_prices_of_their_own(manager: User) -> None:
    make.currency()
    plan = make.plan()
    add(manager, plan.pk, ON)
    assert add(manager, plan.pk, ON, market="DE").market == "DE"


def test_a_correction_supersedes_and_the_quoted_price_stays_as_it_was(manager: User) -> None:
    quoted = make.price()
    before = sorted(str(r.amount) for r in quoted.rows.all())
    corrected = correct_price_version(
        price_version_id=quoted.pk, rows=ROWS, source="Erratum", by=manager, at=AT
    )
    quoted.refresh_from_db()
    assert quoted.superseded_at == AT
    assert sorted(str(r.amount) for r in quoted.rows.all()) == before
    assert (corrected.effective, corrected.plan_id) == (quoted.effective, quoted.plan_id)
    with pytest.raises(Conflict):
        correct_price_version(price_version_id=quoted.pk, rows=ROWS, source="Erratum", by=manager, at=AT)


def test_everything_wrong_with_a_price_is_said_at_once(manager: User) -> None:
    rows = (
        RowDraft("input-tokens", 0, "token", Decimal(-1)),
        RowDraft("input-tokens", 1, "token", Decimal("NaN"), -1),
        RowDraft("input-tokens", 1, "token", Decimal("0.00000000001")),
    )
    with pytest.raises(Invalid) as refused:
        add_price_version(
            plan_id=make.plan().pk, currency="XXX", start=ON, end=ON, rows=rows, source=" ", by=manager, at=AT
        )
    assert [(p.code, p.pointer) for p in refused.value.problems] == [
        ("unknown_currency", "/currency"),
        ("ends_before_it_starts", "/end"),
        ("source_missing", "/source"),
        ("per_not_positive", "/rows/0/per"),
        ("amount_out_of_range", "/rows/0/amount"),
        ("tier_negative", "/rows/1/tier_from"),
        ("amount_out_of_range", "/rows/1/amount"),
        ("amount_out_of_range", "/rows/2/amount"),
        ("row_twice", "/rows/2/meter"),
    ]
    assert PriceVersion.objects.count() == 0


# Telling others.


@pytest.fixture
def heard() -> Iterator[list[Change]]:
    changes: list[Change] = []

    def hear(change: Change, at: datetime) -> None:
        changes.append(change)

    extension.listen(hear)
    yield changes
    extension._listeners.remove(hear)


def test_a_change_is_promised_with_it_and_carried_out_after_it(manager: User, heard: list[Change]) -> None:
    offering = make.offering()
    move_publication(offering_id=offering.pk, to=Publication.SUSPENDED, by=manager, at=AT)
    assert heard == []
    message = OutboxMessage.objects.get(topic="marketplace.changed")
    assert carry_out(message_id=message.pk, at=AT)
    (change,) = heard
    assert (change.kind, change.offering_ids) == ("offering", (offering.pk,))
    assert change.what == f"{offering.name} is now suspended."


def test_what_is_refused_is_not_told(manager: User) -> None:
    with pytest.raises(Conflict):
        move_publication(offering_id=make.offering().pk, to=Publication.DRAFT, by=manager, at=AT)
    assert OutboxMessage.objects.count() == 0


def test_impacts_come_by_day_and_each_finder_is_asked_once() -> None:
    user = make.user()

    def find(change: Change, _user: User, _on: date) -> list[Impact]:
        return [
            Impact("deal", "Later", "", date(2026, 9, 1)),
            Impact("deal", "Undated", ""),
            Impact("deal", "Soon", "", ON),
        ]

    extension.impacts(find)
    extension.impacts(find)
    try:
        found = extension.impacts_of(Change("offering", "It retires.", (1,), ON), user, ON)
    finally:
        extension._impacts.remove(find)
    assert [impact.title for impact in found] == ["Soon", "Later", "Undated"]
