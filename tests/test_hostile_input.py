"""What somebody sends to break things: it is refused, or left aside, and nothing else happens."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django import forms
from django.core.cache import cache
from django.test import Client, RequestFactory
from rest_framework.request import Request

from accounts import guessing
from accounts.models import Role, SavedView
from config.proxies import address_of
from config.refusals import Refusal
from config.rest.throttling import PerCallerThrottle
from marketplace.models import MoveKind, OfferingRequest
from marketplace.selectors.console import item_of
from marketplace.views import is_short
from marketplace.views.change_sets import FINDING
from marketplace.views.decisions import Percent
from marketplace.views.sourcing.mix_form import ShareField
from marketplace.views.sourcing.scenarios import read_move
from quotas.importers.layouts import LONGEST_CELL
from quotas.services import approving
from quotas.services.consumption import record_usage_file
from tests import make

pytestmark = pytest.mark.django_db

# Read in no time; written out, or made a whole number, each is a text or a number of a thousand million digits.
TINY, HUGE = "1e-999999999", "-1e999999999"


@pytest.fixture(autouse=True)
def _nothing_counted() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def keeper(client: Client) -> Client:
    client.force_login(make.user(roles=[Role.CATALOG_MANAGER, Role.COMP_ADMIN]))
    return client


@pytest.mark.parametrize(
    ("address", "number"),
    [
        ("/api/v1/statements/?version=", "-1e5000"),
        ("/api/v1/webhook-deliveries/?endpoint=", "-1e5000"),
        ("/api/v1/offerings/?min_input_price=", "1e-50000"),
        ("/api/v1/offerings/?max_input_price=", "0e-50000"),
        ("/api/v1/offerings/?min_context=", "1e-50000"),
        ("/api/v1/offerings/?max_context=", "1.5"),
    ],
)
def test_a_number_of_endless_digits_is_no_filter(keeper: Client, address: str, number: str) -> None:
    answer = keeper.get(address + number)
    assert answer.status_code == 400, answer.content
    assert answer.json()["errors"][0]["parameter"] == address.partition("?")[2].rstrip("=")


@pytest.mark.parametrize("number", ["1e-50000", "0e-50000"])
def test_a_page_leaves_a_number_of_endless_digits_aside(keeper: Client, number: str) -> None:
    make.task_area(slug="coding")
    assert keeper.get(f"/catalog/?min_input_price={number}").context["criteria"].min_input_price is None
    found = keeper.get(f"/recommend/?max_input_price={number}&budget={number}").context["constraints"]
    assert (found.max_input_price, found.budget) == (None, None)


def test_what_is_short_can_be_written_out() -> None:
    assert [is_short(Decimal(n)) for n in ("0", "1.25", "1e20", "0.0000000001")] == [True] * 4
    assert [is_short(Decimal(n)) for n in (TINY, HUGE, "0e-999999999", "NaN")] == [False] * 4


@pytest.mark.parametrize("field", [Percent, ShareField])
@pytest.mark.parametrize("number", ["1e9999999", "-1e9999999"])
def test_a_percentage_beyond_all_bounds_is_wrong(field: Callable[[], forms.Field], number: str) -> None:
    with pytest.raises(forms.ValidationError):
        field().clean(number)


def test_a_scenarios_share_beyond_all_bounds_is_wrong() -> None:
    _draft, wrong = read_move({"kind": MoveKind.SHARE, "share": "1e9999999"})
    assert "/share" in [problem.pointer for problem in wrong]


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_a_day_at_the_end_of_time_is_no_day_of_a_page(keeper: Client, day: str) -> None:
    offering = make.offering(slug="sold")
    make.price(plan=make.plan(offering=offering), rows={"input-tokens": "3"})
    for page in ("/equal-footing/", "/catalog/sold/prices/", "/catalog/sold/", "/catalog/changes/"):
        assert keeper.get(page, {"as_of": day}).status_code == 200, page


def test_a_digit_that_is_no_number_is_none(keeper: Client) -> None:
    assert keeper.get("/catalog/compare/", {"left_out": "²"}).context["left_out"] == 0
    assert item_of("/items/²/body/name") is None
    assert FINDING.match("finding:/items/2/body/name")
    assert not FINDING.match("finding:/items/²/body")


def test_a_zero_byte_is_a_wrong_request(client: Client, subtests: pytest.Subtests) -> None:
    client.force_login(make.user(role=Role.REP))
    here = {"here": "/catalog/", "name": "a\x00b"}
    asked: dict[str, Callable[[], Any]] = {
        "a form": lambda: client.post("/catalog/requests/", {"wanted": "a\x00b"}),
        "a view's name": lambda: client.post("/lists/views/", here),
        "a feed": lambda: client.get("/feeds/catalog.json", {"publisher": "a\x00b"}),
    }
    for what, ask in asked.items():
        with subtests.test(what):
            assert ask().status_code == 400
    assert not OfferingRequest.objects.exists()
    assert not SavedView.objects.exists()


@pytest.mark.parametrize(
    "decide", [approving.approve_deal, approving.release_deal, approving.withdraw_amendment]
)
def test_a_reason_that_may_be_left_out_is_no_longer_than_any(decide: Callable[..., Any]) -> None:
    world = make.world()
    with pytest.raises(Refusal) as refused:
        decide(deal_id=1, by=world.admin, at=make.AT, reason="x" * 501)
    assert [problem.code for problem in refused.value.problems] == ["reason_too_long"]


@pytest.mark.parametrize(
    ("proxies", "said", "address"),
    [
        (0, "198.51.100.1", "127.0.0.1"),
        (1, "", "127.0.0.1"),
        (1, "198.51.100.1", "198.51.100.1"),
        (1, "made-up, 198.51.100.1", "198.51.100.1"),
        (1, "made-up, 198.51.100.1:50123", "198.51.100.1"),
        (1, "[2001:db8::1]:443", "2001:db8::1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (2, "made-up, 198.51.100.1, 10.0.0.1", "198.51.100.1"),
        (2, "198.51.100.1", "198.51.100.1"),
    ],
)
def test_an_address_is_what_our_own_proxies_say(settings: Any, proxies: int, said: str, address: str) -> None:
    settings.PROXIES = proxies
    assert address_of(RequestFactory().get("/", HTTP_X_FORWARDED_FOR=said)) == address


def test_nobody_gets_another_allowance_by_a_made_up_address() -> None:
    def caller(address: str) -> str:
        request = Request(RequestFactory().get("/", HTTP_X_FORWARDED_FOR=address))
        return PerCallerThrottle()._caller(request)

    assert caller("198.51.100.1") == caller("198.51.100.2") == "address:127.0.0.1"


def test_behind_a_proxy_one_guesser_locks_out_himself_alone(client: Client, settings: Any) -> None:
    settings.PROXIES = 1
    make.user(email="known@demo.example")

    def log_in(email: str, password: str, come_from: str) -> int:
        typed = {"username": email, "password": password}
        return client.post("/accounts/login/", typed, HTTP_X_FORWARDED_FOR=come_from).status_code

    for n in range(guessing.FAILURES_FROM_AN_ADDRESS):
        log_in(f"guess{n}@demo.example", "guess", f"10.0.0.{n}, 198.51.100.1")
    assert log_in("known@demo.example", make.PASSWORD, "198.51.100.1") == 429
    assert log_in("known@demo.example", make.PASSWORD, "198.51.100.2") == 302


def test_what_others_do_does_not_drive_out_the_count_of_wrong_passwords() -> None:
    for _ in range(guessing.FAILURES_OF_AN_ACCOUNT):
        guessing.failed("known@demo.example", "198.51.100.1")
    for n in range(1_000):
        cache.set(f"rate:read:address:{n}", 1)
    assert guessing.blocked("known@demo.example", "198.51.100.2")


def test_a_head_of_endless_length_is_no_csv() -> None:
    world = make.world()
    with pytest.raises(Refusal) as refused:
        record_usage_file(text="x" * (LONGEST_CELL + 1), source="metering", by=world.admin, at=make.AT)
    assert [problem.code for problem in refused.value.problems] == ["not_csv"]
