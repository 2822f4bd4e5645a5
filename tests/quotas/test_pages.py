"""The sales pages: who gets what, what they say, and what a form does with what is wrong."""

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from quotas.forms import minor, named, ppm, rearranged, written_ppm
from quotas.models import ONE, CreditEntry, Deal, DealKind, DealState, DealVersion, Rep
from quotas.services import approving, booking
from tests import make
from tests.make import Line, World
from tests.quotas import selling

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def world() -> World:
    return make.world()


@pytest.fixture
def as_user() -> Callable[[Any], Client]:
    def logged_in(who: Any) -> Client:
        client = Client()
        user = who.user if isinstance(who, Rep) else who
        assert user is not None
        client.force_login(user)
        return client

    return logged_in


Log = Callable[[Any], Client]


def text(response: Any) -> str:
    """What a reader sees, without tags, single-spaced."""
    body = re.sub(r"<(script|style|datalist).*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def asked(world: World, owner: Rep | None = None, **facts: Any) -> dict[str, Any]:
    return {
        "owner": owner or world.ana,
        "customer": world.customer,
        "lines": [Line(world.house, 1_000_00)],
        **facts,
    }


def logged(world: World, owner: Rep | None = None, **facts: Any) -> Deal:
    return make.deal(**asked(world, owner, **facts))


def submitted(world: World, owner: Rep | None = None, **facts: Any) -> Deal:
    return selling.handed_in(**asked(world, owner, **facts))


def approved(world: World, **facts: Any) -> Deal:
    return selling.credited(leader=world.mia, **asked(world, **facts))


def entered(world: World, **changes: str) -> dict[str, str]:
    """What the form sends for a good deal of ana's."""
    fields = {
        "customer": world.customer.name,
        "kind": "new_business",
        "close_date": make.TODAY.isoformat(),
        "currency": "USD",
        "title": "",
        "refunds": "",
        "token": "t" * 32,
        "lines": "1",
        "shares": "1",
        "lines-0-offering": world.house.name,
        "lines-0-plan": "",
        "lines-0-amount": "1,234.50",
        "lines-0-quantity": "",
        "lines-0-term_months": "12",
        "shares-0-rep": world.ana.name,
        "shares-0-percent": "100",
        "do": "draft",
    }
    return fields | {name.replace("__", "-"): value for name, value in changes.items()}


# --- who may come in --------------------------------------------------------------------------------------


def test_every_page_asks_for_a_log_in(client: Client, world: World) -> None:
    for name, args in (
        ("board", []),
        ("board", [world.team.slug]),
        ("leaderboard", []),
        ("deals", []),
        ("deal-new", []),
        ("deal", [1]),
        ("approvals", []),
        ("plans", []),
        ("periods", []),
        ("credit-explanation", [1]),
    ):
        answer = client.get(reverse(f"quotas:{name}", args=args))
        assert answer.status_code == 302
        assert answer["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("role", ["partner", "catalog_manager", "engineer"])
def test_who_does_not_sell_finds_no_boards_rules_or_forms(as_user: Log, world: World, role: str) -> None:
    client = as_user(make.user(role=role))
    for name, args in (
        ("board", [world.team.slug]),
        ("deal-new", []),
        ("approvals", []),
        ("plans", []),
        ("periods", []),
    ):
        assert client.get(reverse(f"quotas:{name}", args=args)).status_code == 404


def test_a_deal_and_a_credit_that_are_not_yours_do_not_exist(as_user: Log, world: World) -> None:
    deal = approved(world)
    entry = CreditEntry.objects.get(deal=deal)
    for stranger in (world.bo, world.cy, world.zed, make.user(role="partner")):
        client = as_user(stranger)
        assert client.get(reverse("quotas:deal", args=[deal.pk])).status_code == 404
        assert client.get(reverse("quotas:deal-edit", args=[deal.pk])).status_code == 404
        assert client.get(reverse("quotas:credit-explanation", args=[entry.pk])).status_code == 404
        assert (
            client.post(reverse("quotas:deal-act", args=[deal.pk, "cancel"]), {"reason": "x"}).status_code
            == 404
        )
        assert (
            deal.reference not in text(client.get(reverse("quotas:deals"))) if stranger != world.zed else True
        )
    for reader in (world.ana, world.mia, world.rex, world.admin, world.auditor):
        client = as_user(reader)
        assert client.get(reverse("quotas:deal", args=[deal.pk])).status_code == 200
        assert client.get(reverse("quotas:credit-explanation", args=[entry.pk])).status_code == 200


def test_a_sharer_sees_the_deal_and_only_the_own_credit(as_user: Log, world: World) -> None:
    deal = approved(world, shares={world.ana: 600_000, world.bo: 400_000})
    page = as_user(world.bo).get(reverse("quotas:deal", args=[deal.pk]))
    assert "+$400.00" in text(page)
    assert "+$600.00" not in text(page)
    assert "Credit of colleagues whom you do not manage is not shown" in text(page)
    whole = text(as_user(world.mia).get(reverse("quotas:deal", args=[deal.pk])))
    assert "+$600.00" in whole
    assert "+$400.00" in whole


def test_a_partner_sees_own_lines_and_no_names(as_user: Log, world: World) -> None:
    partner = make.user(role="partner", publisher=world.third.publisher)
    deal = submitted(
        world, lines=[Line(world.house, 7_777_00), Line(world.third, 1_111_00)], title="Secret project"
    )
    listed = text(as_user(partner).get(reverse("quotas:deals")))
    page = text(as_user(partner).get(reverse("quotas:deal", args=[deal.pk])))
    for said in (listed, page):
        assert deal.reference in said
        assert "$1,111.00" in said or "$1.1K" in said
        for secret in (
            world.customer.name,
            world.ana.name,
            world.house.name,
            "7,777",
            "8,888",
            "Secret project",
            "Approve",
        ):
            assert secret not in said
    search = as_user(partner).get(
        reverse("quotas:deals"), {"q": world.customer.name.split()[-1] + " " + world.ana.name}
    )
    assert deal.reference not in text(search)
    # Who sold it is not found out by trying, nor whether its credit is held.
    for guess in (world.ana.slug, world.bo.slug):
        tried = as_user(partner).get(reverse("quotas:deals"), {"rep": guess})
        assert deal.reference in text(tried)
    for kept in ("held", "amended"):
        assert as_user(partner).get(reverse("quotas:deals"), {"state": kept}).status_code == 404


def test_peers_money_is_hidden_from_a_rep_on_board_and_leaderboard(as_user: Log, world: World) -> None:
    approved(world, lines=[Line(world.house, 31_313_00)])
    submitted(world, owner=world.bo, lines=[Line(world.house, 42_424_00)])
    mine = as_user(world.bo)
    board = text(mine.get(reverse("quotas:board", args=[world.team.slug])))
    assert "31.3%" in board
    assert "$31.3K" not in board
    assert "$42.4K" in board
    ranks = text(mine.get(reverse("quotas:leaderboard"), {"by": "credit"}))
    assert "Ana" in ranks
    assert "$31.3K" not in ranks
    assert "$31.3K" in text(as_user(world.mia).get(reverse("quotas:leaderboard"), {"by": "credit"}))


# --- boards -----------------------------------------------------------------------------------------------


def test_a_rep_lands_on_the_own_team_with_the_own_row_marked(as_user: Log, world: World) -> None:
    client = as_user(world.ana)
    answer = client.get(reverse("quotas:board"), {"period": "FY27-Q1"})
    assert answer["Location"] == reverse("quotas:board", args=[world.team.slug]) + "?period=FY27-Q1"
    page = client.get(answer["Location"])
    assert page.content.decode().count("data-you") == 1
    assert "Your credit" in text(page)
    assert as_user(world.admin).get(reverse("quotas:board"))["Location"].endswith(f"/{world.company.slug}/")


def test_a_part_of_the_board_is_the_rows_alone_and_varies_by_header(as_user: Log, world: World) -> None:
    client = as_user(world.mia)
    url = reverse("quotas:board", args=[world.team.slug])
    part = client.get(url, {"q": "an"}, headers=HTMX | {"HX-Target": "rows"})
    assert "HX-Request" in part["Vary"]
    assert b"<html" not in part.content
    assert "Ana" in text(part)
    assert " Bo " not in text(part)
    whole = client.get(url, {"q": "an"}, headers=HTMX | {"HX-History-Restore-Request": "true"})
    assert b"<html" in whole.content


def test_unknown_periods_measures_and_teams_are_not_found(as_user: Log, world: World) -> None:
    client = as_user(world.mia)
    url = reverse("quotas:board", args=[world.team.slug])
    assert client.get(url, {"period": "FY99-Q1"}).status_code == 404
    assert client.get(url, {"measure": "nonsense"}).status_code == 404
    assert client.get(reverse("quotas:board", args=["no-such-team"])).status_code == 404
    for wrong in ({"group": "nonsense"}, {"by": "nonsense"}, {"cursor": "nonsense"}, {"team": "nonsense"}):
        assert client.get(reverse("quotas:leaderboard"), wrong).status_code == 404


def test_every_leaderboard_has_its_tab(as_user: Log, world: World, subtests: pytest.Subtests) -> None:
    approved(world, lines=[Line(world.third, 900_00)])
    client = as_user(world.admin)
    subjects = {
        "rep": "Ana",
        "team": "Team",
        "publisher": world.third.publisher.name,
        "offering": world.third.name,
    }
    for group, subject in subjects.items():
        with subtests.test(group):
            page = text(client.get(reverse("quotas:leaderboard"), {"group": group}))
            assert subject in page
            assert "$900" in page


# --- the list ---------------------------------------------------------------------------------------------


def test_the_list_narrows_by_state_period_words_and_owner(as_user: Log, world: World) -> None:
    draft, waiting = logged(world), submitted(world, lines=[Line(world.third, 5_00)])
    older = logged(world, close_date=make.TODAY - timedelta(days=60))
    shared = submitted(world, owner=world.bo, shares={world.bo: 500_000, world.ana: 500_000})
    client = as_user(world.mia)

    def shown(**asked: str) -> set[str]:
        page = text(client.get(reverse("quotas:deals"), asked))  # not its placeholders: they name a deal too
        return set(re.findall(r"D-\d{6}", page)) & {d.reference for d in (draft, waiting, older, shared)}

    assert shown() == {draft.reference, waiting.reference, older.reference, shared.reference}
    assert shown(state="submitted") == {waiting.reference, shared.reference}
    assert shown(period="FY27-Q1") == {draft.reference, waiting.reference, shared.reference}
    assert shown(q="third-party") == {waiting.reference}
    assert shown(q=older.reference) == {older.reference}
    assert shown(rep=world.bo.slug) == {shared.reference}
    assert shown(rep=world.ana.slug, state="submitted") == {waiting.reference, shared.reference}
    assert client.get(reverse("quotas:deals"), {"state": "nonsense"}).status_code == 404


def test_the_list_costs_the_same_for_three_deals_and_for_nine(as_user: Log, world: World) -> None:
    client = as_user(world.mia)

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            client.get(reverse("quotas:deals"))
        return len(seen)

    for _ in range(3):
        logged(world)
    few = queries()
    for _ in range(6):
        logged(world, lines=[Line(world.house, 5_00), Line(world.third, 5_00)])
    assert queries() == few <= 37


# --- the form ---------------------------------------------------------------------------------------------


def test_a_deal_is_logged_with_exactly_what_was_typed(as_user: Log, world: World) -> None:
    sent = entered(
        world,
        lines="2",
        lines__1__offering=world.third.name,
        lines__1__amount="0.07",
        lines__1__quantity="2.5",
        shares="2",
        shares__0__percent="66.6667",
        shares__1__rep=world.bo.name,
        shares__1__percent="33.3333",
        new_customer="on",
        title="Pilot",
    )
    answer = as_user(world.ana).post(reverse("quotas:deal-new"), sent)
    deal = Deal.objects.get()
    version = deal.latest_version
    assert answer["Location"] == reverse("quotas:deal", args=[deal.pk])
    assert version is not None
    assert (deal.owner, deal.customer, deal.state) == (world.ana, world.customer, DealState.DRAFT)
    assert (version.title, version.new_customer, version.close_date) == ("Pilot", True, make.TODAY)
    assert [(x.offering, x.amount_minor, x.term_months) for x in version.lines.order_by("line_no")] == [
        (world.house, 123_450, 12),
        (world.third, 7, None),
    ]
    assert [(x.rep, x.ppm) for x in version.shares.order_by("ordinal")] == [
        (world.ana, 666_667),
        (world.bo, 333_333),
    ]


def test_submitting_twice_with_the_same_form_is_one_deal(as_user: Log, world: World) -> None:
    client = as_user(world.ana)
    first = client.post(reverse("quotas:deal-new"), entered(world, do="submit"))
    again = client.post(reverse("quotas:deal-new"), entered(world, do="submit"), follow=True)
    deal = Deal.objects.get()
    assert deal.state == DealState.SUBMITTED
    assert first["Location"] == reverse("quotas:deal", args=[deal.pk])
    assert "is logged already" in text(again)
    assert "not saved" not in text(again)


def test_the_address_of_the_form_keeps_its_rows_for_whoever_has_to_log_in_meanwhile(
    as_user: Log, world: World
) -> None:
    client, new = as_user(world.ana), reverse("quotas:deal-new")
    added = client.post(new, entered(world, lines="2", do="add-line"), headers={"HX-Request": "true"})
    assert added.headers["HX-Replace-Url"] == f"{new}?lines=3&shares=1"
    again = client.get(new, {"lines": "3", "shares": "2"}).content.decode()
    for name in ("lines-2-offering", "shares-1-rep", "shares-1-percent"):
        assert f'name="{name}"' in again
    assert f'action="{new}?lines=3&amp;shares=2"' in again
    # Of a deal that is stored nothing is taken away.
    client.post(
        new, entered(world, lines="2", **{"lines-1-offering": world.third.name, "lines-1-amount": "5"})
    )
    fewer = client.get(reverse("quotas:deal-edit", args=[Deal.objects.get().pk]), {"lines": "1"})
    assert 'name="lines-1-offering"' in fewer.content.decode()


def test_a_form_that_is_changed_and_sent_again_after_it_was_saved_says_what_is_not_saved(
    as_user: Log, world: World
) -> None:
    client, new = as_user(world.ana), reverse("quotas:deal-new")
    client.post(new, entered(world))
    deal = Deal.objects.get()
    more = client.post(new, entered(world, lines__0__amount="2,000", do="submit"), follow=True)
    assert f"This form logged {deal.reference} before: what you changed in it since is not saved." in text(
        more
    )
    same = client.post(new, entered(world, do="submit"), follow=True)
    assert f"it is {deal.reference}, and it is not submitted yet." in text(same)
    deal.refresh_from_db()
    assert (deal.state, Deal.objects.count()) == (DealState.DRAFT, 1)


WRONG = [
    ({"customer": ""}, "Say who bought."),
    ({"customer": "Nobody & Sons"}, "There is no such customer"),
    ({"lines__0__offering": "Nothing"}, "There is no such offering"),
    ({"lines__0__amount": ""}, "Enter the amount."),
    ({"lines__0__amount": "1.234"}, "at most 2 decimals"),
    ({"lines__0__amount": "1e5"}, "Enter a number"),
    ({"lines__0__amount": "-5"}, "negative on a refund only"),
    ({"lines__0__quantity": "-1"}, "A quantity is zero or more."),
    ({"lines__0__term_months": "1.5"}, "Enter whole months"),
    ({"shares__0__percent": "90"}, "to reach 100 %"),
    ({"shares__0__percent": "100.00001"}, "at most four decimals"),
    ({"shares__0__rep": "Nobody"}, "There is no such rep"),
    ({"close_date": ""}, "Say when it closed."),
    ({"close_date": "1999-01-01"}, "No fiscal period holds 1999-01-01"),
    ({"kind": "refund"}, "Name the approved deal that it refunds"),
    ({"currency": "EUR"}, "no exchange rate from EUR to USD"),
]


def test_what_is_wrong_is_said_and_nothing_is_saved_or_lost(
    as_user: Log, world: World, subtests: pytest.Subtests
) -> None:
    make.currency(code="EUR")
    client = as_user(world.ana)
    for changes, message in WRONG:
        with subtests.test(message, **changes):
            sent = entered(world, title="What I typed", **changes)
            answer = client.post(reverse("quotas:deal-new"), sent)
            assert answer.status_code == 422
            assert message in text(answer)
            assert "What I typed" in answer.content.decode()
            assert not Deal.objects.exists()
            assert not DealVersion.objects.exists()


def test_a_retired_offering_is_refused_beside_its_line(as_user: Log, world: World) -> None:
    gone = make.offering(name="Old model", retires_on=make.TODAY - timedelta(days=1))
    sent = entered(world, lines="2", lines__1__offering=gone.name, lines__1__amount="5")
    page = as_user(world.ana).post(reverse("quotas:deal-new"), sent).content.decode()
    slot = re.search(r'id="id_lines-1-offering_error".*?</div>', page, re.DOTALL)
    assert slot is not None
    assert "retired" in slot[0]
    assert not Deal.objects.exists()


def test_a_deal_that_cannot_be_submitted_is_not_saved_either(as_user: Log, world: World) -> None:
    ahead = (make.TODAY + timedelta(days=3)).isoformat()
    answer = as_user(world.ana).post(
        reverse("quotas:deal-new"), entered(world, do="submit", close_date=ahead)
    )
    assert answer.status_code == 422
    assert "its close date lies ahead" in text(answer)
    assert not Deal.objects.exists()


def test_rows_come_and_go_without_scripts(as_user: Log, world: World) -> None:
    client = as_user(world.ana)
    url = reverse("quotas:deal-new")
    page = client.post(url, entered(world, do="add-line")).content.decode()
    assert 'name="lines-1-offering"' in page
    assert 'value="1,234.50"' in page
    fewer = client.post(
        url,
        entered(
            world, do="remove-line-0", lines="2", lines__1__offering=world.third.name, lines__1__amount="9"
        ),
    ).content.decode()
    assert 'name="lines-1-offering"' not in fewer
    assert f'value="{world.third.name}"' in fewer
    even = client.post(url, entered(world, do="even", shares="3")).content.decode()
    assert list(re.findall(r'name="shares-\d-percent" value="([^"]*)"', even)) == [
        "33.3334",
        "33.3333",
        "33.3333",
    ]
    part = client.post(
        url, entered(world, do="add-share", shares__0__percent="60"), headers=HTMX
    ).content.decode()
    assert "<html" not in part
    assert re.search(r'name="shares-1-percent" value="40"', part)
    assert not Deal.objects.exists()


def test_a_stale_edit_changes_nothing_and_shows_the_way(as_user: Log, world: World) -> None:
    deal = logged(world)
    assert world.ana.user is not None
    booking.edit_deal(
        deal_id=deal.pk,
        draft=make.draft(owner=world.ana, customer=world.customer, lines=[Line(world.house, 5_00)]),
        by=world.ana.user,
        at=make.AT,
    )
    client = as_user(world.ana)
    url = reverse("quotas:deal-edit", args=[deal.pk])
    answer = client.post(url, entered(world, revision=str(deal.revision), title="Mine"))
    assert answer.status_code == 422
    assert "changed since you read it" in text(answer)
    assert reverse("quotas:deal", args=[deal.pk]) in answer.content.decode()
    assert 'value="Mine"' in answer.content.decode()
    deal.refresh_from_db()
    assert deal.latest_version is not None
    assert deal.latest_version.number == 2
    assert client.post(url, entered(world, revision=str(deal.revision), title="Mine")).status_code == 302
    deal.refresh_from_db()
    assert deal.latest_version is not None
    assert deal.latest_version.title == "Mine"


def test_editing_starts_from_what_was_saved(as_user: Log, world: World) -> None:
    deal = logged(world, shares={world.ana: 700_000, world.bo: 300_000}, title="As it was")
    page = as_user(world.ana).get(reverse("quotas:deal-edit", args=[deal.pk])).content.decode()
    for value in ("As it was", world.customer.name, world.house.name, "1,000.00", "70", "30", "Bo"):
        assert f'value="{value}"' in page
    waiting = submitted(world)
    answer = as_user(world.ana).get(reverse("quotas:deal-edit", args=[waiting.pk]), follow=True)
    assert "only a draft or a returned deal can be edited" in text(answer)


def test_a_manager_logs_for_the_own_team_and_for_nobody_else(as_user: Log, world: World) -> None:
    client = as_user(world.mia)
    good = client.post(reverse("quotas:deal-new"), entered(world, owner=world.bo.name))
    assert good.status_code == 302
    assert Deal.objects.get().owner == world.bo
    other = client.post(reverse("quotas:deal-new"), entered(world, owner=world.cy.name, token="u" * 32))
    assert "Choose a rep of the teams that you manage" in text(other)
    assert Deal.objects.count() == 1


# --- live -------------------------------------------------------------------------------------------------


def test_the_estimate_says_what_the_posting_then_does(as_user: Log, world: World) -> None:
    sent = entered(world, shares="2", shares__0__percent="70", shares__1__rep="Bo", shares__1__percent="30")
    said = text(as_user(world.ana).post(reverse("quotas:deal-estimate"), sent))
    assert "Ana (you) $864.15" in said
    assert "Bo $370.35" in said
    assert "Attainment 0.0% 0.9%" in said
    assert not Deal.objects.exists()
    client = as_user(world.ana)
    client.post(reverse("quotas:deal-new"), sent | {"do": "submit"})
    deal = Deal.objects.get()
    assert world.mia.user is not None
    approving.approve_deal(deal_id=deal.pk, by=world.mia.user, at=make.AT)
    posted = dict(CreditEntry.objects.filter(deal=deal).values_list("rep__name", "amount_minor"))
    assert posted == {"Ana": 86_415, "Bo": 37_035}


def test_the_estimate_says_why_there_is_nothing(as_user: Log, world: World) -> None:
    nobody_decided = make.offering(name="Inside", path="internal_only")
    said = text(
        as_user(world.ana).post(reverse("quotas:deal-estimate"), entered(world, lines__0__offering="Inside"))
    )
    assert nobody_decided.name == "Inside"
    assert "Inside does not count toward quota on 14 August 2026: nobody has decided that it does." in said


def test_half_a_form_never_breaks_the_estimate(as_user: Log, world: World) -> None:
    client = as_user(world.ana)
    for counted in ("lines", "shares"):
        for value in ("", "0", "-1", "99999999999", "x"):
            answer = client.post(
                reverse("quotas:deal-estimate"), entered(world) | {counted: value, "left": "1"}
            )
            assert answer.status_code == 200, (counted, value)
    assert client.post(reverse("quotas:deal-estimate"), {}).status_code == 200
    wrong = ("", "x", "9" * 30, "\x00", "²", "NaN") * 2
    for at, name in enumerate(entered(world)):
        for value in wrong[at % 2 :: 2][:3]:  # every field meets half of them, its neighbour the others
            answer = client.post(reverse("quotas:deal-estimate"), entered(world) | {name: value, "left": "1"})
            assert answer.status_code == 200, (name, value)


def test_leaving_a_field_checks_what_is_there_and_not_what_is_still_empty(as_user: Log, world: World) -> None:
    sent = entered(world, customer="", lines__0__amount="12,3x", left="1")
    page = as_user(world.ana).post(reverse("quotas:deal-estimate"), sent, headers=HTMX).content.decode()
    amount = re.search(r'id="id_lines-0-amount_error".*?</div>', page, re.DOTALL)
    customer = re.search(r'id="id_customer_error".*?</div>', page, re.DOTALL)
    assert amount is not None
    assert "12,3 is not a number" in amount[0]
    assert "hx-swap-oob" in amount[0]
    assert customer is not None
    assert "errorlist" not in customer[0]
    assert "Quota" in text_of(page)
    assert "Counts in full" in text_of(page)


def text_of(markup: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def test_a_deal_that_looks_entered_twice_is_pointed_out(as_user: Log, world: World) -> None:
    first = submitted(world, lines=[Line(world.house, 1_234_50)], close_date=make.TODAY - timedelta(days=20))
    client = as_user(world.ana)
    assert first.reference in text(client.post(reverse("quotas:deal-estimate"), entered(world)))
    far = entered(world, lines__0__amount="1,234.51")
    assert first.reference not in text(client.post(reverse("quotas:deal-estimate"), far))
    again = submitted(world, lines=[Line(world.house, 1_234_50)])
    assert first.reference in text(as_user(world.mia).get(reverse("quotas:deal", args=[again.pk])))
    assert "Twice?" in text(as_user(world.mia).get(reverse("quotas:approvals")))


def test_typing_a_part_of_a_name_finds_customers_and_those_on_sale_first(as_user: Log, world: World) -> None:
    make.customer(name="Alpha Works", slug="alpha-one")
    make.customer(name="Alpha Works", slug="alpha-two")
    client = as_user(world.ana)
    found = client.get(reverse("quotas:deal-find", args=["customers"]), {"customer": "alph"}).content.decode()
    assert re.findall(r'value="([^"]+)"', found) == ["Alpha Works (alpha-one)", "Alpha Works (alpha-two)"]
    answer = client.post(reverse("quotas:deal-new"), entered(world, customer="Alpha Works"))
    assert "2 customers have this name" in text(answer)
    good = client.post(reverse("quotas:deal-new"), entered(world, customer="Alpha Works (alpha-two)"))
    assert good.status_code == 302
    assert Deal.objects.get().customer.slug == "alpha-two"


# --- deciding ---------------------------------------------------------------------------------------------


def act(client: Client, deal: Deal, action: str, **given: str) -> Any:
    return client.post(reverse("quotas:deal-act", args=[deal.pk, action]), given, follow=True)


def test_the_manager_approves_and_the_owner_never(as_user: Log, world: World) -> None:
    deal = submitted(world)
    assert "Approve" not in text(as_user(world.ana).get(reverse("quotas:deal", args=[deal.pk])))
    refused = act(as_user(world.ana), deal, "approve", revision=str(deal.revision))
    assert "somebody else has to decide" in text(refused)
    assert not CreditEntry.objects.exists()
    done = act(as_user(world.mia), deal, "approve", revision=str(deal.revision))
    assert "is approved and its credit is posted" in text(done)
    assert CreditEntry.objects.get().amount_minor == 1_000_00


def test_returning_needs_a_reason_and_says_it_to_the_owner(as_user: Log, world: World) -> None:
    deal = submitted(world)
    manager = as_user(world.mia)
    silent = act(manager, deal, "return", revision=str(deal.revision), reason="  ")
    assert silent.status_code == 422
    assert "Say why" in text(silent)
    deal.refresh_from_db()
    assert deal.state == DealState.SUBMITTED
    act(manager, deal, "return", revision=str(deal.revision), reason="Wrong plan")
    page = text(as_user(world.ana).get(reverse("quotas:deal", args=[deal.pk])))
    assert "Returned" in page
    assert "Wrong plan" in page
    assert "Edit" in page


def test_a_stale_decision_is_told_and_not_taken(as_user: Log, world: World) -> None:
    deal = submitted(world)
    told = act(as_user(world.mia), deal, "approve", revision=str(deal.revision - 1))
    assert "changed since you read it" in text(told)
    assert not CreditEntry.objects.exists()


def test_cancelling_shows_the_exact_reversal(as_user: Log, world: World) -> None:
    deal = approved(world)
    done = text(
        act(as_user(world.mia), deal, "cancel", revision=str(deal.revision), reason="The customer withdrew")
    )
    first, second = CreditEntry.objects.filter(deal=deal).order_by("id")
    assert second.amount_minor == -first.amount_minor
    assert f"Reversal of entry {first.pk}" in done
    assert "net $0.00" in done
    assert f"negates entry {first.pk} exactly" in text(
        as_user(world.mia).get(reverse("quotas:credit-explanation", args=[second.pk]))
    )


def test_the_queue_approves_several_and_says_which_it_refused(as_user: Log, world: World) -> None:
    one, two = submitted(world), submitted(world, owner=world.bo, lines=[Line(world.third, 50_00)])
    manager = as_user(world.mia)
    page = text(manager.get(reverse("quotas:approvals")))
    assert "2 deals wait for you" in page
    assert "$1,000" in page or "$1.0K" in page
    url = reverse("quotas:approve")
    foreign = submitted(world, owner=world.cy)
    refused = manager.post(url, {"deal": [str(one.pk), str(foreign.pk)]}, follow=True)
    assert "1 deal is approved" in text(refused)
    assert f"{foreign.reference}: there is no such deal" in text(refused)
    assert CreditEntry.objects.count() == 1
    assert "Choose at least one deal" in text(manager.post(url, {}, follow=True))
    three = submitted(world)
    done = manager.post(url, {"deal": [str(two.pk), str(three.pk)]}, follow=True)
    assert "2 deals are approved" in text(done)
    assert "Nothing waits for you" in text(done)
    assert CreditEntry.objects.count() == 3


def test_one_button_approves_one_deal_whatever_is_ticked(as_user: Log, world: World) -> None:
    one, two = submitted(world), submitted(world, owner=world.bo)
    as_user(world.mia).post(
        reverse("quotas:approve") + f"?only={two.pk}", {"deal": [str(one.pk), str(two.pk)]}
    )
    assert set(Deal.objects.filter(state=DealState.APPROVED)) == {two}


def test_the_queue_costs_the_same_for_two_deals_and_for_eight(as_user: Log, world: World) -> None:
    client = as_user(world.mia)

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            client.get(reverse("quotas:approvals"))
        return len(seen)

    for _ in range(2):
        submitted(world)
    queries()
    few = queries()
    for _ in range(6):
        submitted(world, owner=world.bo)
    assert queries() <= few + 1  # the deals and their approvers are read in batches, never one by one


def test_reviewing_is_a_part_for_the_drawer(as_user: Log, world: World) -> None:
    deal = submitted(world)
    part = as_user(world.mia).get(
        reverse("quotas:deal", args=[deal.pk]), headers=HTMX | {"HX-Target": "drawer"}
    )
    assert b"<html" not in part.content
    assert "Expected credit" in text(part)
    assert "Reject with a reason" in text(part)


def test_the_explanation_is_a_part_and_a_page(as_user: Log, world: World) -> None:
    entry = CreditEntry.objects.get(deal=approved(world))
    url = reverse("quotas:credit-explanation", args=[entry.pk])
    client = as_user(world.ana)
    part, page = client.get(url, headers=HTMX | {"HX-Target": "drawer"}), client.get(url)
    assert b"<html" not in part.content
    assert b"<html" in page.content
    for said in (text(part), text(page)):
        assert "Deal value" in said
        assert "Quota credit" in said
        assert "it comes to the same amount" in said


# --- rules and periods ------------------------------------------------------------------------------------


def test_rules_read_as_sentences_and_drafts_are_for_comp_admins(as_user: Log, world: World) -> None:
    rule = make.Rule(
        world.bookings,
        name="Capped",
        factor_ppm=1_100_000,
        cap_minor=50_000_00,
        deal_kinds=[DealKind.NEW_BUSINESS],
        publishers=[world.third.publisher],
    )
    draft = make.plan_version(rules=[rule], plan=world.plan_version.plan, state="draft")
    address = reverse("quotas:plan-version", args=[draft.plan.slug, draft.number])
    admin = text(as_user(world.admin).get(address))
    assert (
        f"Deals on offerings of {world.third.publisher.name}, new business: 110%, cap $50K a deal." in admin
    )
    assert as_user(world.ana).get(address).status_code == 404
    seller = text(as_user(world.ana).get(reverse("quotas:plans")))
    assert world.bookings.name in seller
    assert "Deals on any eligible model: 100%." in seller
    assert "110%" not in seller


def test_periods_show_each_month_with_its_state(as_user: Log, world: World) -> None:
    page = text(as_user(world.admin).get(reverse("quotas:periods")))
    assert "FY27-M01 July 2026 Open" in page
    assert "FY27-M12 June 2027 Future" in page


# --- text and numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "exponent", "expected"),
    [
        ("1,234.50", 2, 123_450),
        ("1 234", 0, 1_234),
        ("−5", 2, -500),
        ("0.001", 3, 1),
        ("1.5", 0, None),
        ("1e3", 2, None),
        ("", 2, None),
        ("٣", 2, None),
        ("--1", 2, None),
    ],
)
def test_amounts_are_read_as_people_type_them(typed: str, exponent: int, expected: int | None) -> None:
    assert minor(typed, exponent) == expected


def test_shares_read_back_as_they_were_written() -> None:
    for value in (1, 10, 333_333, 500_000, ONE):
        assert ppm(written_ppm(value)) == value
    assert ppm("33.3333 %") == 333_333
    assert ppm("33.33333") is None


def test_names_find_by_name_or_by_the_slug_behind_it(world: World) -> None:
    found = named(Rep.objects.all(), ["Ana", f"Somebody ({world.bo.slug})", "nobody", ""])
    assert [rep.pk for rep in found["Ana"]] == [world.ana.pk]
    assert [rep.pk for rep in found[f"Somebody ({world.bo.slug})"]] == [world.bo.pk]
    assert found["nobody"] == found[""] == []


def test_removing_the_last_row_or_one_that_is_not_there_changes_nothing(rf: Any) -> None:
    data = rf.post("/", {"lines": "1", "lines-0-amount": "5"}).POST
    assert rearranged(data, "remove-line-0") == data
    assert rearranged(data, "remove-line-7") == data
    assert rearranged(data, "nonsense") == data


def test_the_navigation_counts_what_waits(world: World, rf: Any) -> None:
    from quotas.views.approvals import waiting_count

    submitted(world)
    request = rf.get("/")
    assert world.mia.user is not None
    request.user = User.objects.get(pk=world.mia.user.pk)
    assert waiting_count(request) == 1
