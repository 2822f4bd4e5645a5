"""Plan documents: what they say, that what is accepted is what was read, and that a new version asks again."""

import hashlib
import re
from datetime import date, timedelta
from html import unescape
from typing import Any

import pytest
from django.db import transaction
from django.db.utils import ProgrammingError
from django.test import Client
from django.urls import reverse

from accounts.models import Notification, Role, User
from config import outbox
from config.refusals import Conflict, Forbidden, NotFound
from quotas import tasks  # noqa: F401 -- its handlers register themselves
from quotas.models import (
    PayBy,
    PayScale,
    PlanAcceptance,
    PlanState,
    PlanVersion,
    RateTier,
    Rep,
    SalesRole,
)
from quotas.selectors.plan_documents import acceptances, document_of, to_accept
from quotas.services.statements import accept_plan, ask_acceptance
from tests import make
from tests.make import Rule, World

pytestmark = pytest.mark.django_db
TOMORROW = make.TODAY + timedelta(days=1)


@pytest.fixture
def world() -> World:
    return make.world()


def address(version: PlanVersion, what: str = "") -> str:
    return reverse(f"quotas:plan-document{what}", args=[version.plan.slug, version.number])


def as_user(who: Rep | User) -> Client:
    client = Client()
    client.force_login(User.objects.get(pk=(make.login(who) if isinstance(who, Rep) else who).pk))
    return client


def text(response: Any) -> str:
    assert response.status_code == 200
    body = re.sub(r"<(script|style).*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def accept(version: PlanVersion, rep: Rep, digest: str = "") -> PlanAcceptance:
    return accept_plan(
        version_id=version.pk, digest=digest or document_of(version).digest, by=make.login(rep), at=make.AT
    )


def paying(world: World) -> PlanVersion:
    """A version whose component pays by attainment, with an accelerator and a cap."""
    version = make.plan_version(
        plan=world.plan_version.plan,
        rules=[Rule(world.bookings, slug="base", name="Every deal at its value", factor_ppm=1_100_000)],
        effective=(date(2026, 7, 1), None),
        state=PlanState.DRAFT,
    )
    part = make.component(version=version, measure=world.bookings, target_incentive_minor=80_000_00)
    scale = PayScale.objects.create(
        component=part, by=PayBy.ATTAINMENT, cap_minor=40_000_00, threshold=200_000
    )
    for starts_at, rate in ((0, 1_000_000), (1_000_000, 1_500_000)):
        RateTier.objects.create(scale=scale, starts_at=starts_at, rate_ppm=rate)
    version.state, version.published_by, version.published_at = PlanState.PUBLISHED, world.admin, make.AT
    version.save()
    return version


def test_the_document_says_in_sentences_what_is_credited_and_paid(world: World) -> None:
    version = paying(world)
    found = document_of(version)
    assert found.text.splitlines() == [
        "parity plan document 1",
        f"{version.plan.name}, version 2",
        "from 1 July 2026 until further notice",
        "component AI bookings: weight 100%",
        "Target incentive: $80,000.00 a year at 100% of quota.",
        "0% to 100% of quota: 1% of target for each 1%",
        "From 100% on: 1.5% of target for each 1%",
        "Below 20% of quota nothing is paid; from there on everything counts.",
        "At most $40,000 a quarter.",
        "Credit adds up by quarter.",
        "measure AI bookings",
        "rule Every deal at its value (priority 0): Deals on any eligible model: 110%.",
    ]
    assert found.digest == hashlib.sha256(found.text.encode()).hexdigest()


def test_who_has_the_plan_accepts_what_was_read_once(world: World) -> None:
    version = world.plan_version
    with pytest.raises(Conflict) as other:
        accept(version, world.ana, digest="0" * 64)
    assert other.value.problems[0].code == "document_changed"
    done = accept(version, world.ana)
    assert (done.rep, done.by, done.document_digest) == (
        world.ana,
        make.login(world.ana),
        document_of(version).digest,
    )
    with pytest.raises(Conflict) as again:
        accept(version, world.ana)
    assert again.value.problems[0].message == "You accepted it on 14 Aug 2026."
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        PlanAcceptance.objects.filter(pk=done.pk).delete()


def test_nobody_accepts_a_plan_that_is_not_theirs_a_draft_or_one_that_is_over(world: World) -> None:
    leaders = make.plan_version(plan=make.comp_plan(for_everybody=False), rules=[Rule(world.bookings)])
    make.assignment(plan=leaders.plan, role=SalesRole.MANAGER)
    with pytest.raises(Forbidden):
        accept(leaders, world.ana)
    accept(leaders, world.mia)
    with pytest.raises(Forbidden) as nobody:
        accept_plan(version_id=leaders.pk, digest="", by=world.admin, at=make.AT)
    assert nobody.value.problems[0].code == "not_a_rep"
    draft = make.plan_version(plan=leaders.plan, rules=[Rule(world.bookings)], state=PlanState.DRAFT)
    with pytest.raises(NotFound):
        accept(draft, world.mia)
    over = make.plan_version(plan=leaders.plan, rules=[], effective=(make.LONG_AGO, make.TODAY))
    with pytest.raises(Conflict) as late:
        accept(over, world.mia)
    assert late.value.problems[0].code == "plan_is_over"
    assert [v.pk for v in to_accept(world.mia, make.TODAY)] == [world.plan_version.pk]


def test_a_new_version_asks_again_and_one_to_come_can_be_accepted_before(world: World) -> None:
    accept(world.plan_version, world.ana)
    assert to_accept(world.ana, make.TODAY) == []
    coming = make.plan_version(
        plan=world.plan_version.plan, rules=[Rule(world.bookings)], effective=(TOMORROW, None)
    )
    assert to_accept(world.ana, make.TODAY) == [coming]
    assert to_accept(world.bo, make.TODAY) == [world.plan_version, coming]
    assert to_accept(world.bo, TOMORROW) == [coming]
    accept(coming, world.ana)
    assert to_accept(world.ana, make.TODAY) == []


def test_a_comp_admin_sees_who_has_accepted_and_asks_the_others_once_a_day(world: World) -> None:
    version = world.plan_version
    accept(version, world.ana)
    seen = acceptances(version, world.admin, make.TODAY)
    assert [(each.rep.name, each.since is not None) for each in seen] == [
        *((name, False) for name in ("Bo", "Cy", "Mia", "Rex", "Zed")),
        ("Ana", True),
    ]
    assert [each.rep.name for each in acceptances(version, make.login(world.zed), make.TODAY)] == [
        "Cy",
        "Zed",
    ]
    for _twice in range(2):
        assert ask_acceptance(version_id=version.pk, by=world.admin, at=make.AT) == 5
        for message in outbox.lease(at=make.AT):
            outbox.carry_out(message_id=message, at=make.AT)
    asked = Notification.objects.filter(text=f"Read and accept {version}.")
    assert sorted(asked.values_list("user__name", flat=True)) == ["Bo", "Cy", "Mia", "Rex", "Zed"]
    with pytest.raises(Forbidden):
        ask_acceptance(version_id=version.pk, by=make.login(world.mia), at=make.AT)


def test_the_page_is_read_accepted_and_remembers(world: World) -> None:
    version = paying(world)
    client = as_user(world.ana)
    page = text(client.get(address(version)))
    for said in (
        "AI bookings, 100% of the plan",
        "At most $40,000 a quarter.",
        "AI bookings FY27-Q1 $100,000.00",
        document_of(version).digest,
        "Accept it",
    ):
        assert said in page
    done = client.post(address(version, "-accept"), {"digest": document_of(version).digest})
    assert done["Location"] == address(version)
    page = text(client.get(address(version)))
    assert ("You accepted it on 14 Aug 2026" in page, "Accept it" in page) == (True, False)
    reviewed = text(as_user(world.admin).get(address(version)))
    assert "1 of 6" in reviewed
    assert "Ask 5 to accept" in reviewed
    rows = (
        as_user(world.admin).get(f"{address(version)}?format=csv").getvalue().decode("utf-8-sig").splitlines()
    )
    assert len(rows) == 7
    assert client.get(f"{address(version)}?format=csv").status_code == 404
    draft = make.plan_version(plan=version.plan, rules=[Rule(world.bookings)], state=PlanState.DRAFT)
    assert [as_user(who).get(address(draft)).status_code for who in (world.ana, world.admin)] == [404, 200]
    assert as_user(make.user(role=Role.PARTNER)).get(address(version)).status_code == 404
