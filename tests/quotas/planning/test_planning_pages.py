"""The pages of quotas: seen by who may, changed by hand and by proposal, with what is wrong beside it."""

import csv
import io
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from quotas.models import Quota, QuotaRelief, Rep, SalesImport
from quotas.services.importing import Options, carry_out_file, upload
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> make.World:
    made = make.world()
    quarter = made.year.quarters[0]
    make.quota(measure=made.bookings, period=quarter, team=made.team, amount_minor=180_000_00)
    return made


def browser(who: User | Rep) -> Client:
    user = make.login(who) if isinstance(who, Rep) else who
    client = Client()
    client.force_login(User.objects.get(pk=user.pk))
    return client


def text(answer: Any, status: int = 200) -> str:
    assert answer.status_code == status, answer.content.decode()[:400]
    main = re.search(r"<main.*?</main>", answer.content.decode(), re.DOTALL)
    assert main
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", main.group(0))))


def address(world: make.World, more: str = "") -> str:
    return f"/quotas/planning/{world.team.slug}/{more}"


def fields(world: make.World, **amounts: str) -> dict[str, str]:
    """What the form of the team sends; amounts by lower-case name."""
    known = {"ana": world.ana, "bo": world.bo}
    sent = {"measure": world.bookings.slug, "period": "FY27-Q1"}
    for name, rep in known.items():
        sent[f"amount-rep-{rep.pk}"] = amounts.get(name, "100,000")
        sent[f"version-rep-{rep.pk}"] = "1"
    return sent


def test_everybody_lands_on_the_team_they_plan_and_sees_no_other(world: make.World) -> None:
    mia, rex, admin = browser(world.mia), browser(world.rex), browser(world.admin)
    assert mia.get("/quotas/planning/", follow=True).redirect_chain[-1][0].startswith(address(world))
    assert rex.get("/quotas/planning/", follow=True).redirect_chain[-1][0].endswith(f"{world.region.slug}/")
    shown = text(admin.get("/quotas/planning/", follow=True))
    assert "Quotas of Company" in shown
    for slug in (world.other.slug, world.region.slug, "nothing"):
        assert mia.get(f"/quotas/planning/{slug}/").status_code == 404
    assert mia.get(f"/quotas/quota/rep/{world.cy.slug}/").status_code == 404
    assert browser(world.ana).get("/quotas/planning/").status_code == 404
    auditor = browser(world.auditor)
    page = auditor.get(address(world))
    assert b'name="amount-' not in page.content
    assert auditor.post(address(world, "set/"), fields(world, ana="1")).status_code == 404
    assert auditor.get(address(world, "hand-down/")).status_code == 404
    assert auditor.get("/quotas/reliefs/").status_code == 200
    lone = make.user(role="manager")
    assert "You lead no team today" in text(browser(lone).get("/quotas/planning/"))

    def queries(client: Client, where: str) -> int:
        client.get(where)
        with CaptureQueriesContext(connection) as asked:
            client.get(where)
        return len(asked)

    few = queries(rex, f"/quotas/planning/{world.region.slug}/")
    for _ in range(4):
        make.rep(team=make.team(parent=world.region))
        make.rep(team=world.region)
    assert queries(rex, f"/quotas/planning/{world.region.slug}/") == few


def test_a_manager_checks_then_saves_and_is_told_what_does_not_add_up(world: make.World) -> None:
    mia = browser(world.mia)
    make.total(
        rep=world.ana,
        team=world.team,
        measure=world.bookings,
        month=world.year.month(1),
        direct_minor=60_000_00,
    )
    shown = text(mia.get(address(world)))
    assert "The parts exceed the quota by $20,000.00." in shown
    assert "Over-assignment +11.1% High" in shown
    seen = fields(world, ana="120,000", bo="60 000")
    checked = text(
        mia.post(
            address(world, "set/"), {**seen, "do": "check", "method": "weighted", "starts": "2026-09-01"}
        )
    )
    # 62 days of 92 at 100,000 and 30 at 120,000
    assert "Ana $100,000.00 $106,521.74 $60,000.00 60.0% 56.3%" in checked
    assert "The parts add up to the quota." in checked
    assert Quota.objects.filter(version=2).count() == 0
    refused = text(mia.post(address(world, "set/"), {**seen, "do": "save"}), 422)
    assert "FY27-Q1 has begun: say why its quotas change." in refused
    saved = mia.post(
        address(world, "set/"), {**seen, "do": "save", "reason": "Bo has less market"}, follow=True
    )
    assert "2 quotas have a new version." in unescape(saved.content.decode())
    stale = text(
        mia.post(
            address(world, "set/"),
            {**seen, "do": "save", "ana": "1", f"amount-rep-{world.ana.pk}": "1", "reason": "x"},
        ),
        422,
    )
    assert "Somebody changed the quota of Ana" in stale
    for wrong, said in (
        ({"ana": "much"}, "Enter an amount, or 0 for none."),
        ({"ana": "-5"}, "A quota is zero or more."),
        ({"ana": "120000", "bo": "60000"}, "there is nothing to save"),
    ):
        answer = mia.post(address(world, "set/"), {**fields(world, **wrong), "do": "save"})
        assert said in text(answer, 422)
    own = fields(world, ana="120000", bo="60000") | {
        f"amount-team-{world.team.pk}": "1",
        f"amount-rep-{world.mia.pk}": "1",
    }
    assert "there is nothing to save" in text(mia.post(address(world, "set/"), own), 422)
    assert Quota.objects.filter(team=world.team).count() == 1
    versions = text(mia.get(f"/quotas/quota/rep/{world.ana.slug}/?period=FY27-Q1"))
    assert "Bo has less market" in versions
    assert "$100,000.00" in versions
    told = next(
        csv.DictReader(io.StringIO(b"".join(mia.get(address(world, "?format=csv"))).decode("utf-8-sig")))
    )
    assert (told["Team"], told["Quota"], told["Over-assignment"]) == ("Team", "180000.00", "0.0000")


def test_a_proposal_is_looked_at_and_then_used(world: make.World) -> None:
    mia = browser(world.mia)
    way = {"by": "evenly", "over": "5", "step": "1000", f"keep-rep-{world.ana.pk}": "89,000"}
    proposed = mia.get(address(world, "hand-down/"), way)
    assert "$189,000.00 with over-assignment" in text(proposed)
    assert re.search(r"Bo Account executive .*? – \$100,000.00 \$100,000.00 in full", text(proposed))
    hidden = dict(
        re.findall(
            r'<input type="hidden" name="([\w-]+)" value="([^"]*)">',
            proposed.content.decode().split("planning-use")[0].rsplit("<form", 1)[1],
        )
    )
    assert "it would do" not in text(proposed)
    other = {**hidden, "over": "6", "reason": "New half"}
    assert "Something changed since you looked" in text(
        mia.post(address(world, "hand-down/use/"), other), 422
    )
    done = mia.post(address(world, "hand-down/use/"), {**hidden, "reason": "New half"}, follow=True)
    assert "One quota has a new version." in unescape(done.content.decode())
    assert Quota.objects.get(rep=world.ana, superseded_at=None).amount_minor == 89_000_00
    assert "Over-assignment is 0 to 100 per cent." in text(
        mia.get(address(world, "hand-down/?by=evenly&over=x")), 422
    )
    assert "Nothing was credited below Team before" in text(
        mia.get(address(world, "hand-down/?by=history")), 422
    )


def test_ramp_and_leave_are_recorded_and_ended_on_their_page(world: make.World) -> None:
    mia = browser(world.mia)
    assert "Nobody ramps up or is on leave" in text(mia.get("/quotas/reliefs/?new=1"))
    entered = {
        "rep": "ana",
        "kind": "ramp",
        "starts": "2026-07-31",
        "counts": "25, 50, 75",
        "reason": "New in the seat",
    }
    assert mia.post("/quotas/reliefs/new/", entered).status_code == 302
    spans = QuotaRelief.objects.order_by("effective").values_list("effective", "factor_ppm")
    assert [(str(s.lower), str(s.upper), ppm) for s, ppm in spans] == [
        ("2026-07-31", "2026-08-31", 250_000),
        ("2026-08-31", "2026-09-30", 500_000),
        ("2026-09-30", "2026-10-31", 750_000),
    ]
    shown = text(mia.get("/quotas/reliefs/"))
    assert "New in the seat" in shown
    assert "31 Jul 2026 to 30 Aug 2026" in shown
    assert "counts as $" in text(mia.get(address(world)))
    for wrong, said in (
        ({"rep": "Cy"}, "Nobody of that name is below you"),
        ({"counts": "half"}, "Enter per cent, such as 0"),
        ({"counts": "100"}, "less than 100 per cent"),
        ({"starts": "2026-08-15"}, "end that first, or choose other days"),
        ({"reason": ""}, "Say why"),
    ):
        assert said in text(mia.post("/quotas/reliefs/new/", {**entered, **wrong}), 422)
    first = QuotaRelief.objects.order_by("effective")[0]
    assert "Say why" in text(mia.post(f"/quotas/reliefs/{first.pk}/end/", {"on": "2026-08-10"}), 422)
    assert "Enter the day" in text(mia.post(f"/quotas/reliefs/{first.pk}/end/", {"on": "soon"}), 422)
    assert (
        browser(world.zed)
        .post(f"/quotas/reliefs/{first.pk}/end/", {"on": "2026-08-10", "reason": "x"})
        .status_code
        == 404
    )
    assert (
        mia.post(f"/quotas/reliefs/{first.pk}/end/", {"on": "2026-08-10", "reason": "Fast"}).status_code
        == 302
    )
    assert QuotaRelief.objects.filter(superseded_at=None).count() == 3
    assert (
        len(list(csv.reader(io.StringIO(b"".join(mia.get("/quotas/reliefs/?all=1&format=csv")).decode()))))
        == 5
    )


def test_what_is_exported_can_be_brought_in_again_as_its_columns_are_guessed(
    world: make.World, tmp_path: Path
) -> None:
    file = tmp_path / "quotas.csv"
    exported = b"".join(browser(world.admin).get(address(world, "?format=csv")))
    look = upload(kind="quotas", file_name="quotas.csv", pieces=[exported], by=world.admin, at=make.AT)
    assert "?" not in re.sub(r"#.*", "", look.map_text)

    def bring_in(content: bytes) -> SalesImport:
        file.write_bytes(content)
        return carry_out_file(
            kind="quotas", path=file, map_text=look.map_text, options=Options(), by=world.admin, at=make.AT
        )

    assert bring_in(exported).counts == {"unchanged": 3}
    changed = bring_in(exported.replace(b"100000.00,100000.00", b"90000.00,100000.00", 1))
    assert changed.counts == {"unchanged": 2, "changed": 1}


def test_what_was_entered_on_one_page_of_a_large_team_goes_along_and_is_saved(world: make.World) -> None:
    reps = [make.rep(team=world.team, name=f"Rep {n:02}") for n in range(55)]
    first, last = reps[0], reps[-1]
    admin = browser(world.admin)
    on_first = {
        "measure": world.bookings.slug,
        "period": "FY27-Q1",
        "page": "2",
        f"amount-rep-{first.pk}": "70,000",
        f"version-rep-{first.pk}": "0",
    }
    turned = admin.post(address(world, "set/"), on_first).content.decode()
    assert f'name="amount-rep-{first.pk}" value="70,000"' in turned
    assert f"Quota of {last.name}" in turned
    assert f"Quota of {first.name}" not in turned
    assert not Quota.objects.filter(rep__in=reps).exists(), "turning the page saves nothing"
    both = {**on_first, f"amount-rep-{last.pk}": "30,000", f"version-rep-{last.pk}": "0"}
    admin.post(address(world, "set/"), {**both, "do": "save", "reason": "Two new territories"})
    amounts = Quota.objects.filter(rep__in=reps, superseded_at=None).values_list("rep", "amount_minor")
    assert dict(amounts) == {first.pk: 70_000_00, last.pk: 30_000_00}
