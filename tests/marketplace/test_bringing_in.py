"""Offerings that a file names and the catalog does not have: made once, on sale, and counting only where somebody said why."""

from datetime import date

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, Notification, Role, User
from config import outbox
from config.models import OutboxMessage
from config.refusals import Conflict, Forbidden, Invalid
from marketplace.models import (
    Alias,
    CatalogChange,
    CommercialPath,
    EligibilityDecision,
    Offering,
    OfferingRevision,
    Origin,
    Program,
    Publication,
    Publisher,
)
from marketplace.selectors.eligibility import treatments
from marketplace.selectors.on_sale import why_not
from marketplace.services import eligibility
from marketplace.services.bringing_in import (
    BroughtIn,
    Counting,
    Defaults,
    NamedOffering,
    bring_in,
    free_slugs,
)
from tests import make

pytestmark = pytest.mark.django_db
SINCE = date(2017, 1, 1)


@pytest.fixture
def admin() -> User:
    return make.user(role=Role.COMP_ADMIN, name="Priya")


def brought(
    by: User,
    *names: str | NamedOffering,
    defaults: Defaults | None = None,
    counting: Counting | None = None,
) -> BroughtIn:
    wanted = [NamedOffering(each) if isinstance(each, str) else each for each in names]
    return bring_in(
        wanted={each.name: each for each in wanted},
        since=SINCE,
        by=by,
        at=make.AT,
        defaults=defaults,
        counting=counting,
        reason="Import I-00001",
    )


def carried_out() -> None:
    for message in OutboxMessage.objects.filter(done_at=None).order_by("pk"):
        outbox.carry_out(message_id=message.pk, at=make.AT)


def test_what_is_missing_is_made_whole_and_told_and_a_second_time_found(admin: User) -> None:
    done = brought(
        admin, NamedOffering("GTX Pro", "GTX Corp", "GTX"), NamedOffering("MG Special", "gtx corp")
    )
    pro = Offering.objects.select_related("publisher").get(pk=done.offerings["GTX Pro"])
    assert (pro.slug, pro.publisher.name, pro.publisher.origin) == ("gtx-pro", "GTX Corp", Origin.THIRD)
    assert (pro.family, pro.publication, pro.commercial_path) == (
        "gtx",
        Publication.LIVE,
        CommercialPath.MARKETPLACE,
    )
    assert pro.path_assumed
    assert pro.plans.exists()
    assert why_not(pro, SINCE) is None
    assert why_not(pro, date(2016, 12, 31)) is not None
    revision = OfferingRevision.objects.get(offering=pro)
    assert revision.body["plans"][0]["slug"] == "standard"
    assert (done.publishers, len(done.made), done.decisions) == (1, 2, [])
    with connection.cursor() as cursor:
        cursor.execute("SELECT called FROM marketplace_offeringindex WHERE offering_id = %s", [pro.pk])
        assert cursor.fetchone() == ("gtxpro",)
    trail = AuditEvent.objects.filter(table="marketplace_offering", row=pro.pk).get()
    assert (trail.actor, trail.reason) == (admin, "Import I-00001")
    carried_out()
    assert set(CatalogChange.objects.values_list("what", flat=True)) == {
        "GTX Pro is new in the catalog.",
        "MG Special is new in the catalog.",
    }
    again = brought(admin, NamedOffering("gtx  PRO", "GTX Corp"), "mg-special")
    assert again.offerings == {"gtx  PRO": pro.pk, "mg-special": done.offerings["MG Special"]}
    assert (again.made, again.publishers, Offering.objects.count()) == ([], 0, 2)


def test_one_thing_in_two_ways_of_writing_is_made_once(admin: User) -> None:
    done = brought(admin, "Vector Search", "VECTOR  SEARCH")
    assert len(set(done.offerings.values())) == 1 == Offering.objects.count()


def test_what_people_call_an_offering_finds_it_and_two_of_a_name_need_their_publisher(admin: User) -> None:
    known = make.offering(name="Copilot seat")
    Alias.objects.create(name="Copilot", offering=known, effective=make._days(make.ALWAYS))
    here, there = make.publisher(name="Here"), make.publisher(name="There")
    twins = [make.offering(name="Twin", publisher=p) for p in (here, there)]
    done = brought(admin, "copilot", "Twin")
    assert done.offerings == {"copilot": known.pk}
    assert done.refused["Twin"][0] == "ambiguous_offering"
    assert brought(admin, NamedOffering("Twin", "there")).offerings == {"Twin": twins[1].pk}
    twins[0].publication = Publication.ARCHIVED
    twins[0].save()
    assert brought(admin, "Twin").offerings == {"Twin": twins[1].pk}


def test_with_two_people_it_counts_at_once_and_its_feed_says_so(admin: User) -> None:
    checker = make.user(role=Role.CATALOG_MANAGER)
    done = brought(admin, "GTX Pro", counting=Counting("Sold like our own", checker, "Import I-00001", "p1"))
    (decision,) = EligibilityDecision.objects.all()
    assert done.decisions == [decision.pk]
    assert (decision.made_by, decision.checked_by, decision.rate_ppm) == (admin, checker, 1_000_000)
    assert (decision.reason, decision.evidence, decision.effective.lower) == (
        "Sold like our own",
        "Import I-00001",
        SINCE,
    )
    offering = Offering.objects.get()
    assert treatments(offering, SINCE)[Program.QUOTA].counts
    carried_out()
    assert CatalogChange.objects.get().what == "GTX Pro is new in the catalog and counts toward quota."


def test_by_one_person_it_is_proposed_and_a_catalog_manager_checks_all_of_it_together(admin: User) -> None:
    manager = make.user(role=Role.CATALOG_MANAGER)
    proposal = Counting("Sold like our own", None, "Import I-00001", "p1")
    first = brought(admin, "GTX Pro", counting=proposal)
    second = brought(admin, "MG Special", counting=proposal)
    offering = Offering.objects.get(pk=first.offerings["GTX Pro"])
    assert not treatments(offering, SINCE)[Program.QUOTA].counts
    carried_out()
    assert Notification.objects.filter(user=manager).first() is not None
    with pytest.raises(Forbidden):
        eligibility.check_decision(decision_id=first.decisions[0], by=admin, at=make.AT)
    eligibility.check_decision(decision_id=first.decisions[0], by=manager, at=make.AT)
    assert set(EligibilityDecision.objects.filter(checked_by=manager).values_list("pk", flat=True)) == {
        *first.decisions,
        *second.decisions,
    }
    with pytest.raises(Conflict):
        eligibility.check_decision(decision_id=second.decisions[0], by=manager, at=make.AT)


def test_nothing_counts_by_a_standing_decision_without_a_reason(admin: User) -> None:
    make.decision(path=CommercialPath.MARKETPLACE, effective=(date(2024, 1, 1), None))
    done = brought(admin, "GTX Pro")
    assert done.refused["GTX Pro"][0] == "needs_eligibility_reason"
    assert "the path marketplace" in done.refused["GTX Pro"][1]
    assert not Offering.objects.exists()
    out = make.publisher(name="Kept out")
    make.decision(publisher=out, rate_ppm=0, effective=(None, None))
    exception = make.publisher(name="Exception")
    make.decision(publisher=exception, rate_ppm=500_000)
    said = brought(admin, NamedOffering("A", "Kept out"), NamedOffering("B", "Exception"))
    assert set(said.offerings) == {"A"}
    assert "for Exception" in said.refused["B"][1]
    assert brought(admin, "GTX Pro", counting=Counting("Sold like our own")).refused == {}


def test_the_house_is_of_the_house_and_who_is_not_named_is_unknown(admin: User) -> None:
    brought(admin, NamedOffering("Office agent", "Microsoft"), "Something")
    assert dict(Publisher.objects.values_list("name", "origin")) == {
        "Microsoft": Origin.FIRST,
        "Unknown publisher": Origin.THIRD,
    }
    brought(admin, "Own thing", defaults=Defaults(origin=Origin.FIRST))
    assert Offering.objects.get(name="Own thing").publisher.name == "Microsoft"


def test_who_may_not_and_what_means_nothing_is_refused_and_nothing_is_made(admin: User) -> None:
    for by in (make.user(role=Role.MANAGER), make.user(role=Role.AUDITOR)):
        with pytest.raises(Forbidden):
            brought(by, "GTX Pro")
    with pytest.raises(Forbidden) as outsider:
        brought(admin, "GTX Pro", counting=Counting("Why", make.user(role=Role.REP)))
    assert outsider.value.problems[0].code == "may_not_check"
    with pytest.raises(Invalid) as wrong:
        brought(
            admin,
            "GTX Pro",
            defaults=Defaults(origin="ours", path="internal_only"),
            counting=Counting(" ", admin),
        )
    assert [p.code for p in wrong.value.problems] == [
        "unknown_origin",
        "unknown_path",
        "reason_missing",
        "same_person",
    ]
    done = brought(admin, "x" * 121, "Nul\x00l", " ")
    assert {code for code, _ in done.refused.values()} == {"name_too_long", "name_unreadable", "name_missing"}
    assert not Offering.objects.exists()
    assert not Publisher.objects.exists()


def test_slugs_are_free_of_what_is_taken_or_means_a_page(admin: User) -> None:
    make.offering(slug="gtx-pro", name="Another")
    done = brought(admin, "GTX Pro", "GTX-Pro!", "Compare", "光", "音", "G" * 120)
    assert sorted(Offering.objects.filter(pk__in=done.made).values_list("slug", flat=True)) == [
        "compare-2",
        "g" * 72,
        "gtx-pro-2",
        "gtx-pro-3",
        "offering",
        "offering-2",
    ]
    assert free_slugs("marketplace_offering", ["GTX Pro 2"], longest=80, otherwise="x") == ["gtx-pro-2-2"]


def test_many_take_as_many_statements_as_few(admin: User) -> None:
    admin.has_role(Role.COMP_ADMIN)
    costs = []
    for start, number in ((0, 3), (1000, 30)):
        names = [NamedOffering(f"Thing {n}", f"Maker {n % 7} {start}") for n in range(start, start + number)]
        with CaptureQueriesContext(connection) as captured:
            assert len(brought(admin, *names, counting=Counting("Why", None, "", "p")).made) == number
        costs.append(len(captured))
    assert costs[1] <= costs[0] + 1  # the copy asks for its ids
