"""A submitted deal is taken back while nobody has decided on it; and what the command palette finds, for whom."""

from datetime import timedelta

import pytest
from django.test import Client

from accounts.models import User
from config.refusals import Conflict, NotFound, Stale
from quotas.models import CreditEntry, Deal, DealState
from quotas.services import approving, booking
from tests import make
from tests.make import Line, World
from tests.quotas import selling

pytestmark = pytest.mark.django_db
LATER = make.AT + timedelta(minutes=1)


@pytest.fixture
def world() -> World:
    return make.world()


@pytest.fixture
def deal(world: World) -> Deal:
    return selling.handed_in(owner=world.ana, customer=world.customer, lines=[Line(world.house, 500_00)])


def test_what_is_taken_back_is_a_draft_again_and_can_be_sent_again(world: World, deal: Deal) -> None:
    ana = make.login(world.ana)
    booking.recall_deal(deal_id=deal.pk, by=ana, at=LATER, expected_revision=deal.revision)
    back = Deal.objects.get(pk=deal.pk)
    assert (back.state, back.submitted_by, back.submitted_at) == (DealState.DRAFT, None, None)
    assert back.revision == deal.revision + 1
    last = back.events.latest("id")
    assert (last.action, last.reason, last.by) == ("returned", "Taken back", ana)
    with pytest.raises(Stale):
        booking.recall_deal(deal_id=deal.pk, by=ana, at=LATER, expected_revision=deal.revision)
    again = booking.submit_deal(deal_id=deal.pk, by=ana, at=LATER)
    approving.approve_deal(deal_id=again.pk, by=make.login(world.mia), at=LATER)
    assert CreditEntry.objects.get().amount_minor == 500_00


def test_what_is_decided_or_begun_or_anothers_is_not_taken_back(world: World, deal: Deal) -> None:
    with pytest.raises(NotFound):  # a colleague without a share does not even see it
        booking.recall_deal(deal_id=deal.pk, by=make.login(world.bo), at=LATER)
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=LATER)
    with pytest.raises(Conflict, match="decided on already"):
        booking.recall_deal(deal_id=deal.pk, by=make.login(world.ana), at=LATER)
    assert Deal.objects.get(pk=deal.pk).state == DealState.APPROVED
    assert CreditEntry.objects.count() == 1


def page(user: User | None, address: str) -> str:
    assert user is not None
    client = Client()
    client.force_login(user)
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_palette_finds_what_this_person_may_see_and_no_more(world: World, deal: Deal) -> None:
    at = f"/quotas/find/?q=D-{deal.pk:06d}"
    link = f'href="/quotas/deals/{deal.pk}/"'
    for user, seen in ((world.ana.user, True), (world.mia.user, True), (make.login(world.bo), False)):
        assert (link in page(user, at)) == seen
    assert link in page(world.ana.user, f"/quotas/find/?q={deal.pk}" if deal.pk > 9 else at)

    partner = make.user(role="partner", publisher=world.house.publisher)
    assert link in page(partner, at)
    assert world.customer.name not in page(partner, at)
    assert world.customer.name not in page(partner, f"/quotas/find/?q={world.customer.name}")
    assert "/quotas/board/" not in page(partner, f"/quotas/find/?q={world.team.name}")

    people = f"/quotas/find/?q={world.bo.name}"
    assert f'?rep={world.bo.slug}"' in page(world.mia.user, people)
    assert f'?rep={world.bo.slug}"' not in page(world.ana.user, people)
    house = f'href="/catalog/{world.house.slug}/"'
    assert house in page(make.user(role="engineer"), f"/quotas/find/?q={world.house.name}")
    assert house not in page(world.ana.user, "/quotas/find/?q=h")
