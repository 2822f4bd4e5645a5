"""A decision is proposed, checked by another person and read by a rep; an offering is retired through a second person: in a real browser."""

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from marketplace.models import ChangeSet, EligibilityDecision, Offering
from marketplace.services.change_sets import approve
from tests import make

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[[Any], None]


class House:
    def __init__(self) -> None:
        self.maker = make.user(role="catalog_manager", name="Mara Maker")
        self.checker = make.user(role="catalog_manager", name="Carl Checker")
        self.rep = make.user(role="rep", name="Rea Rep")
        self.lab = make.publisher(name="Lab")
        area = make.task_area(name="Coding")
        self.one, self.two = (
            make.offering(publisher=self.lab, name=name, slug=slug)
            for name, slug in (("Lab One", "lab-one"), ("Lab Two", "lab-two"))
        )
        for offering in (self.one, self.two):
            make.price(plan=make.plan(offering=offering))
            offering.task_areas.add(area)
        self.default = make.decision(path="marketplace", rate_ppm=0, checked_by=self.checker)
        self.old = make.decision(offering=self.one, rate_ppm=250_000, checked_by=self.checker)


@pytest.fixture
def house(transactional_db: None) -> House:
    return House()


def test_two_offerings_are_decided_together_checked_by_another_and_explained_to_a_rep(
    page: "Page", house: House, sign_in: SignIn
) -> None:
    sign_in(house.maker)
    page.goto("/")
    page.click("nav[aria-label=Main] >> text=Decisions")
    page.click("main >> text=Propose")
    page.check("text=Quota")
    page.type("#id_add", "lab-o")
    page.wait_for_selector("#offering-options option[value='lab-one']", state="attached")
    page.fill("#id_add", "lab-one lab-two")
    page.click("button:has-text('Add')")
    page.wait_for_selector("text=Chosen")
    assert page.is_checked("text=Quota")
    page.fill("#id_rate", "100")
    page.fill("#id_start", "2026-08-14")
    page.fill("#id_reason", "Counts as our own do.")
    page.click("text=See what it would hit")
    page.wait_for_selector(f"text=Decision {house.old.pk} (Quota, 25%) ends before 14 Aug 2026.")
    page.click("text=Propose it")
    page.wait_for_selector("text=It waits for somebody else.")
    made = EligibilityDecision.objects.filter(reason="Counts as our own do.")
    assert made.count() == 2

    sign_in(house.checker)
    page.goto("/catalog/decisions/?state=proposed")
    page.click("main tbody >> text=Lab One")
    page.click("text=Check, and let it take their place")
    page.wait_for_selector("text=Checked: it holds for its days")
    assert made.filter(checked_by=house.checker).count() == 2

    sign_in(house.rep)
    page.goto("/catalog/lab-one/")
    page.click("#treatment >> text=Counts in full")
    page.wait_for_selector("text=Counts as our own do.")
    page.click("main >> text=The policy")
    page.wait_for_selector("h1:has-text('What counts, and why')")
    assert "Lab Two" in page.inner_text("[aria-labelledby=exceptions]")


def test_an_offering_is_retired_through_a_second_person(page: "Page", house: House, sign_in: SignIn) -> None:
    seller = make.rep(name="Ana", login=True)
    make.deal(owner=seller, lines=[make.Line(house.one)], close_date=date(2027, 1, 4))
    sign_in(house.maker)
    page.goto("/catalog/lab-one/")
    page.click("#lifecycle >> text=Retire")
    page.fill("#id_retires_on", "2027-03-01")
    page.fill("#id_replacement", "lab-two")
    page.click("text=See what it hits")
    page.wait_for_selector("text=1 open deal closes too late.")
    assert "retires_on=2027-03-01" in page.url
    page.click("text=Hand in for approval")
    page.wait_for_selector("text=a second person has to approve it")
    assert Offering.objects.get(slug="lab-one").retires_on is None
    approve(change_set_id=ChangeSet.objects.get().pk, by=house.checker, at=make.AT)
    page.goto("/catalog/lab-one/")
    page.wait_for_selector("#lifecycle >> text=1 Mar 2027")
    assert "Lab Two" in page.inner_text("#lifecycle")
