"""Who sees whose pay, what the pages and files say, and that files, cost centres and REST add up to the entries. RULES 16.11."""

import csv
import io
import re
from datetime import date
from html import unescape

import pytest
from django.db import connection
from django.db.models import Sum
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Role, User
from quotas.models import EarningEntry, SalesRole
from quotas.selectors.earnings import accrual, control_totals, estimates
from tests import make
from tests.quotas.api import client as api
from tests.quotas.api import ids
from tests.quotas.earnings.worlds import PayWorld, two_paid

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> PayWorld:
    return two_paid()


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def text(page: object) -> str:
    """What is read, without tags."""
    content: bytes = page.content  # type: ignore[attr-defined]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", content.decode())).split())


def rows(answer: object) -> list[dict[str, str]]:
    content = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    return list(csv.DictReader(io.StringIO(content)))


def test_a_rep_sees_what_the_window_would_pay_what_was_paid_and_nobody_elses(world: PayWorld) -> None:
    ana = browser(make.login(world.ana))
    index = ana.get(reverse("quotas:earnings"))
    assert index.status_code == 302
    make.total(
        rep=world.ana, team=world.team, measure=world.bookings, month=world.month(1), direct_minor=90_000_00
    )
    shown = text(ana.get(index["Location"]))
    assert "Credit so far $90,000.00 90.0% of $100K" in shown
    assert (
        "10.0% more of quota ($10,000.00) reaches 100% and pays $1,000.00 more; from there each 1% pays 1.5% of target."
        in shown
    )
    assert (
        "FY27-M02 v1 $5,000.00" in shown
    )  # July's late 10,000 at 1; of August's 30,000 a third at 1, the rest at 1.5
    entry = EarningEntry.objects.get(
        rep=world.ana, close__period=world.month(2), origin_period=world.month(2)
    )
    told = text(ana.get(reverse("quotas:earning", args=[entry.pk])))
    assert "Quota of FY27-Q1 $100,000.00" in told
    assert "Earned with it $13,000.00" in told
    assert "Earned up to the month before, on $90,000.00 −$9,000.00" in told
    assert "This entry +$4,000.00" in told
    bo = browser(make.login(world.bo))
    assert bo.get(reverse("quotas:earning", args=[entry.pk])).status_code == 404
    assert bo.get(reverse("quotas:earnings-of", args=[world.ana.slug])).status_code == 404
    assert bo.get(reverse("quotas:earnings-payments")).status_code == 404
    assert browser(make.user(role=Role.PARTNER)).get(reverse("quotas:earnings")).status_code == 404
    assert "$3,500.00 still to be taken back" in text(
        bo.get(reverse("quotas:earnings-of", args=[world.bo.slug]))
    )


def test_a_manager_sees_the_team_and_a_comp_admin_everybody(world: PayWorld) -> None:
    cy = make.rep(team=make.team(), name="Cy")
    make.quota(measure=world.bookings, period=world.year.quarters[0], rep=cy)
    world.credit(10_000_00, 3, rep=cy)
    world.credit(1_000_00, 3)
    world.close(3)
    mia = make.rep(team=world.team, role=SalesRole.MANAGER, login=True)
    shown = text(browser(make.login(mia)).get(reverse("quotas:earnings")))
    assert "Ana" in shown
    assert "Cy" not in shown
    everybody = browser(world.admin)
    page = text(everybody.get(reverse("quotas:earnings")))
    assert "Cy" in page
    assert "the largest change to FY27-M02 first" in page
    made = rows(everybody.get(reverse("quotas:earnings") + "?format=csv"))
    assert {row["Name"] for row in made} == {"Ana", "Bo", "Cy"}
    assert everybody.get(reverse("quotas:earnings") + "?close=999999").status_code == 404


def test_files_cost_centres_and_rest_add_up_to_the_entries(world: PayWorld) -> None:
    close = world.closes[-1]
    entries = EarningEntry.objects.filter(close=close)
    together = entries.aggregate(t=Sum("amount_minor"))["t"]
    (control,) = control_totals(entries)
    assert (control.entries, control.total) == (entries.count(), together)
    assert sum(centre.sums.total for centre in accrual(entries)) == together
    auditor = browser(make.user(role=Role.AUDITOR))
    paid = rows(auditor.get(reverse("quotas:earnings-payments") + "?format=csv"))
    assert sum(round(float(row["Amount"]) * 100) for row in paid) == together
    assert {row["Employee number"] for row in paid} == {"E1", ""}
    assert {(row["Period"], row["Origin period"]) for row in paid if row["Component"] == "AI bookings"} == {
        ("FY27-M02", "FY27-M01"),
        ("FY27-M02", "FY27-M02"),
    }
    assert {row["Cost centre"] for row in paid} == {"'=CC-7"}
    charged = rows(auditor.get(reverse("quotas:earnings-accrual") + "?format=csv"))
    assert [round(float(row["Total"]) * 100) for row in charged] == [together]
    assert "=CC-7" in text(auditor.get(reverse("quotas:earnings-accrual")))
    told = api(world.admin).get("/api/v1/earnings/accruals/").json()
    assert told["payments_digest"] == close.payments_digest
    assert told["control_totals"][0]["total"] == {"amount": f"{together / 100:.2f}", "currency": "USD"}
    assert sum(centre["entries"] for centre in told["cost_centres"]) == entries.count()


def test_rest_lists_what_one_may_see(world: PayWorld) -> None:
    own = set(EarningEntry.objects.filter(rep=world.ana).values_list("pk", flat=True))
    assert set(ids(api(world.ana).get("/api/v1/earnings/"))) == own
    assert len(ids(api(world.admin).get("/api/v1/earnings/"))) == EarningEntry.objects.count()
    (late,) = (
        api(world.admin)
        .get("/api/v1/earnings/?period=FY27-M02&origin_period=FY27-M01&kind=earned")
        .json()["results"]
    )
    assert late["amount"] == {"amount": "1000.00", "currency": "USD"}
    assert (late["rep"], late["employee_no"], late["cost_centre"]) == (world.ana.slug, "E1", "=CC-7")
    other = EarningEntry.objects.filter(rep=world.bo).values_list("pk", flat=True)[0]
    assert api(world.ana).get(f"/api/v1/earnings/{other}/").status_code == 404
    assert api(world.ana).get("/api/v1/earnings/accruals/").status_code == 404
    assert api(world.admin).get("/api/v1/earnings/accruals/?close=nine").status_code == 400
    assert api(make.user(role=Role.PARTNER)).get("/api/v1/earnings/").status_code == 404
    assert api(make.user(role=Role.SOURCING_LEAD)).get("/api/v1/earnings/").status_code == 404


def test_lists_cost_the_same_however_many_people_there_are(world: PayWorld) -> None:
    client = browser(world.admin)
    url = reverse("quotas:earnings")
    client.get(url)
    with CaptureQueriesContext(connection) as few:
        client.get(url)
    for _ in range(5):
        rep = make.rep(team=world.team)
        make.quota(measure=world.bookings, period=world.year.quarters[0], rep=rep)
        world.credit(10_000_00, 3, rep=rep)
    world.close(3)
    with CaptureQueriesContext(connection) as many:
        client.get(url)
    assert len(many) == len(few)


def test_the_estimate_is_what_the_close_pays(world: PayWorld) -> None:
    make.total(
        rep=world.ana, team=world.team, measure=world.bookings, month=world.month(3), direct_minor=1_00
    )
    make.total(
        rep=world.ana, team=world.team, measure=world.bookings, month=world.month(1), direct_minor=90_000_00
    )
    make.total(
        rep=world.ana, team=world.team, measure=world.bookings, month=world.month(2), direct_minor=30_000_00
    )
    (found,) = estimates(world.ana, on=date(2026, 9, 2))
    assert (found.credit, found.quota, found.paid) == (120_001_00, 100_000_00, 13_000_00)
    assert found.still_to_come == 15  # a dollar at 1.5 x 10 %
