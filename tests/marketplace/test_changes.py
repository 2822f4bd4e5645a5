"""What has happened to the catalog: numbered without gaps, read by cursor, seen by those who may, announced ahead."""

import threading
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection, connections, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Role, User
from config import outbox
from config.models import OutboxMessage
from marketplace import extension
from marketplace.api.changes import ChangeResource
from marketplace.extension import Change
from marketplace.models import CatalogChange, Offering, Publication
from marketplace.selectors.changes import Asked, announced, changes_for, newest_first, weeks
from marketplace.services import eligibility, publishing
from marketplace.services.eligibility import Scope
from marketplace.services.loading import load_catalog
from marketplace.services.telling import tell, tell_each
from tests import make

AT, TODAY = make.AT, make.TODAY
_keys = count(1)


def told(
    offering: Offering | None = None,
    *,
    kind: Any = "offering",
    key: str = "",
    what: str = "",
    publisher_id: int | None = None,
    path: str = "",
) -> str:
    """Told in a transaction of its own; returns the key."""
    key = key or f"told-{next(_keys)}"
    change = Change(
        kind=kind,
        what=what or f"{key} happened.",
        offering_ids=(offering.pk,) if offering else None,
        first_day=TODAY,
        publisher_id=publisher_id,
        commercial_path=path,
    )
    with transaction.atomic():
        tell(change, key=key, at=AT)
    return key


def sweep() -> None:
    """What a worker does, until nothing is owed."""
    while ids := outbox.lease(at=AT):
        for message_id in ids:
            outbox.carry_out(message_id=message_id, at=AT)


def keys_seen(user: User) -> list[str]:
    return list(changes_for(user).order_by("number").values_list("key", flat=True))


class TestNumbers:
    pytestmark = pytest.mark.django_db(transaction=True)

    @pytest.mark.parametrize("each", [8, pytest.param(60, marks=pytest.mark.soak)])
    def test_a_reader_who_polls_by_cursor_misses_nothing_while_writers_commit(self, each: int) -> None:
        """Six writers, three workers that number, two readers, all at once; half of the writers dawdle before they commit."""
        offerings = [make.offering() for _ in range(6)]
        manager = make.user(role=Role.CATALOG_MANAGER)
        failures: list[str] = []
        writing = threading.Event()
        writing.set()
        read: dict[int, list[tuple[int, str]]] = {0: [], 1: []}

        def guarded(job: Callable[[], None]) -> Callable[[], None]:
            def run() -> None:
                try:
                    job()
                except Exception as failure:
                    failures.append(repr(failure))
                finally:
                    connections.close_all()

            return run

        def writer(place: int) -> Callable[[], None]:
            def job() -> None:
                for turn in range(each):
                    with transaction.atomic():
                        change = Change("offering", "It changed.", (offerings[place].pk,), TODAY)
                        tell(change, key=f"w{place}-{turn}", at=AT)
                        if place % 2:
                            with connection.cursor() as cursor:
                                cursor.execute("SELECT pg_sleep(0.004)")

            return job

        def worker() -> None:
            while writing.is_set() or OutboxMessage.objects.filter(done_at=None).exists():
                for message_id in outbox.lease(at=AT, limit=7):
                    outbox.carry_out(message_id=message_id, at=AT)

        def reader(place: int) -> Callable[[], None]:
            def job() -> None:
                seen = 0
                while len(read[place]) < 6 * each:
                    page = changes_for(manager).filter(number__gt=seen).order_by("number")[:5]
                    for change in page:
                        read[place].append((change.number, change.key))
                        seen = change.number

            return job

        writers = [threading.Thread(target=guarded(writer(place))) for place in range(6)]
        others = [
            threading.Thread(target=guarded(job)) for job in (worker, worker, worker, reader(0), reader(1))
        ]
        for thread in (*others, *writers):
            thread.start()
        for thread in writers:
            thread.join(60)
        writing.clear()
        for thread in others:
            thread.join(60)
        assert failures == []
        assert not any(thread.is_alive() for thread in (*others, *writers))
        wanted = {f"w{place}-{turn}" for place in range(6) for turn in range(each)}
        for rows in read.values():
            assert [number for number, _key in rows] == list(range(1, len(wanted) + 1))
            assert {key for _number, key in rows} == wanted

    def test_numbers_follow_the_commit_of_the_numbering_and_nobody_sees_a_later_one_first(self) -> None:
        """The second worker waits until the first one's number can be read."""
        offering = make.offering()
        first, second = told(offering), told(offering)
        ids = dict(OutboxMessage.objects.values_list("key", "id"))
        under_way, let_go = threading.Event(), threading.Event()

        def slow() -> None:
            with transaction.atomic():
                outbox.carry_out(message_id=ids[first], at=AT)
                under_way.set()
                let_go.wait(20)
            connections.close_all()

        def quick() -> None:
            outbox.carry_out(message_id=ids[second], at=AT)
            connections.close_all()

        threads = [threading.Thread(target=slow), threading.Thread(target=quick)]
        threads[0].start()
        assert under_way.wait(20)
        threads[1].start()
        threads[1].join(0.3)
        assert threads[1].is_alive()
        assert not CatalogChange.objects.exists()
        let_go.set()
        for thread in threads:
            thread.join(20)
        assert list(CatalogChange.objects.order_by("number").values_list("number", "key")) == [
            (1, first),
            (2, second),
        ]

    def test_a_change_that_is_undone_gets_no_number_and_leaves_no_gap(self) -> None:
        offering = make.offering()
        told(offering)

        def undone() -> None:
            with transaction.atomic():
                tell(Change("offering", "No.", (offering.pk,), TODAY), key="undone", at=AT)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            undone()
        told(offering)
        sweep()
        assert list(CatalogChange.objects.order_by("number").values_list("number", flat=True)) == [1, 2]

    def test_told_twice_or_delivered_twice_it_is_written_once(self) -> None:
        offering = make.offering()
        key = told(offering)
        told(offering, key=key)
        sweep()
        OutboxMessage.objects.update(done_at=None, leased_until=None)
        sweep()
        assert CatalogChange.objects.count() == 1


pytestmark = pytest.mark.django_db


@pytest.fixture
def deaf() -> Iterator[list[Change]]:
    """A listener that fails as often as it is asked until its list says otherwise."""
    heard: list[Change] = []

    def listener(change: Change, _at: Any) -> None:
        heard.append(change)
        if len(heard) < 3:
            raise RuntimeError("not now")

    extension.listen(listener)
    yield heard
    extension._listeners.remove(listener)


def test_a_listener_that_fails_does_not_keep_the_change_from_its_readers_and_hears_of_it_again(
    deaf: list[Change],
) -> None:
    offering = make.offering()
    key = told(offering)
    sweep_failing = outbox.lease(at=AT)
    for message_id in sweep_failing:
        assert outbox.carry_out(message_id=message_id, at=AT)
    assert CatalogChange.objects.get().key == key
    again = OutboxMessage.objects.get(topic="marketplace.changed.again")
    with pytest.raises(RuntimeError):
        outbox.carry_out(message_id=again.pk, at=AT)
    assert outbox.carry_out(message_id=again.pk, at=AT + timedelta(minutes=5))
    assert [change.key for change in deaf] == [key] * 3


def test_one_promise_can_be_about_many_offerings_each_by_its_own_name() -> None:
    offerings = [make.offering(name=f"Model {letter}") for letter in "ABC"]
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        tell_each(
            {"many": Change("offering", "{offering} is new.", tuple(o.pk for o in offerings), TODAY)}, at=AT
        )
    assert len([q for q in queries if "INSERT" in q["sql"]]) == 1
    sweep()
    written = CatalogChange.objects.order_by("number")
    assert [c.what for c in written] == ["Model A is new.", "Model B is new.", "Model C is new."]
    assert [c.number for c in written] == [1, 2, 3]


def test_a_load_leaves_readers_with_a_start_and_a_second_load_tells_nothing() -> None:
    maker, checker = make.user(role=Role.CATALOG_MANAGER), make.user(role=Role.CATALOG_MANAGER)
    load_catalog(by=maker, checked_by=checker, at=AT)
    assert OutboxMessage.objects.count() == 1
    sweep()
    assert CatalogChange.objects.count() == Offering.objects.count() > 50
    assert set(CatalogChange.objects.values_list("kind", "is_public")) == {("offering", True)}
    load_catalog(by=maker, checked_by=checker, at=AT + timedelta(days=1))
    assert OutboxMessage.objects.count() == 1


# --- who sees what


@pytest.fixture
def world() -> dict[str, User]:
    """Two publishers with one live and one unpublished offering each, and everything told that can be."""
    a, b = make.publisher(slug="a"), make.publisher(slug="b")
    empty = make.publisher(slug="empty")
    for publisher in (a, b):
        live = make.offering(publisher=publisher, slug=f"{publisher.slug}-live")
        draft = make.offering(
            publisher=publisher, slug=f"{publisher.slug}-draft", publication=Publication.APPROVED
        )
        told(live, key=f"{publisher.slug}-live")
        told(draft, key=f"{publisher.slug}-draft", kind="price")
        told(key=f"{publisher.slug}-decided", kind="eligibility", publisher_id=publisher.pk)
    told(key="empty-decided", kind="eligibility", publisher_id=empty.pk)
    told(key="path-decided", kind="eligibility", path="marketplace")
    sweep()
    return {
        "a": make.user(role=Role.PARTNER, publisher=a),
        "empty": make.user(role=Role.PARTNER, publisher=empty),
        "rep": make.user(role=Role.REP),
        "manager": make.user(role=Role.CATALOG_MANAGER),
        "auditor": make.user(role=Role.AUDITOR),
    }


PUBLIC = ["a-live", "a-decided", "b-live", "b-decided", "path-decided"]


def test_everybody_reads_what_is_published_and_a_publisher_its_own_besides(world: dict[str, User]) -> None:
    everything = [*keys_seen(world["manager"])]
    assert len(everything) == 8
    assert keys_seen(world["auditor"]) == everything
    assert keys_seen(world["rep"]) == PUBLIC
    assert keys_seen(world["a"]) == ["a-live", "a-draft", *PUBLIC[1:]]
    assert keys_seen(world["empty"]) == [*PUBLIC[:-1], "empty-decided", "path-decided"]


def test_publishing_does_not_bring_what_was_said_before_it_to_light(world: dict[str, User]) -> None:
    Offering.objects.filter(slug="b-draft").update(publication=Publication.LIVE)
    assert keys_seen(world["rep"]) == PUBLIC
    told(Offering.objects.get(slug="b-draft"), key="b-is-live")
    sweep()
    assert keys_seen(world["rep"]) == [*PUBLIC, "b-is-live"]


def test_what_the_services_tell_is_seen_from_the_day_it_is_live() -> None:
    manager, rep = make.user(role=Role.CATALOG_MANAGER), make.user(role=Role.REP)
    offering = make.offering(publication=Publication.APPROVED)
    make.plan(offering=offering)
    publishing.publish_offering(offering_id=offering.pk, by=manager, at=AT)
    sweep()
    assert [c.what for c in changes_for(rep)] == [f"{offering.name} is now live."]
    assert changes_for(rep).get().at == AT


# --- REST


@pytest.fixture
def api(browser_of: Callable[[User], Client]) -> Callable[..., Any]:
    def get(user: User, path: str, status: int = 200, **headers: str) -> Any:
        answer = browser_of(user).get(path if path.startswith("http") else f"/api/v1/{path}", headers=headers)
        assert answer.status_code == status, answer.content
        return answer

    return get


def test_the_feed_is_read_to_its_end_and_on_from_there(
    world: dict[str, User], api: Callable[..., Any]
) -> None:
    """next is always there: behind the last change it waits for the one to come."""
    rep, seen, path, pages = world["rep"], [], "changes/?page_size=2", 0
    while True:
        page = api(rep, path).json()
        seen += [row["number"] for row in page["results"]]
        path, pages = page["next"], pages + 1
        if not page["more"]:
            break
    assert (seen, pages) == (sorted(seen), 3)
    assert len(seen) == len(PUBLIC)
    waiting = api(rep, path).json()
    assert (waiting["results"], waiting["more"], waiting["next"]) == ([], False, path)
    told(Offering.objects.get(slug="a-live"), key="later")
    sweep()
    (row,) = api(rep, path).json()["results"]
    assert row["what"] == "later happened."


def test_an_empty_feed_has_a_cursor_too_from_which_nothing_is_missed(api: Callable[..., Any]) -> None:
    rep = make.user(role=Role.REP)
    empty = api(rep, "changes/").json()
    assert (empty["results"], empty["more"]) == ([], False)
    offering = make.offering()
    told(offering)
    sweep()
    assert [row["offering"] for row in api(rep, empty["next"]).json()["results"]] == [offering.slug]


def test_polling_without_news_is_a_304_and_news_is_not(
    world: dict[str, User], api: Callable[..., Any]
) -> None:
    first = api(world["rep"], "changes/")
    tag = first["ETag"]
    assert api(world["rep"], "changes/", 304, if_none_match=tag).content == b""
    told(Offering.objects.get(slug="a-draft"), key="not for a rep")
    sweep()
    api(world["rep"], "changes/", 304, if_none_match=tag)
    told(Offering.objects.get(slug="a-live"))
    sweep()
    assert len(api(world["rep"], "changes/", if_none_match=tag).json()["results"]) == len(PUBLIC) + 1


def test_a_change_has_the_members_that_the_schema_declares(
    world: dict[str, User], api: Callable[..., Any]
) -> None:
    rows = {row["what"]: row for row in api(world["manager"], "changes/").json()["results"]}
    assert all(set(row) == set(ChangeResource().fields) for row in rows.values())
    live, path = rows["a-live happened."], rows["path-decided happened."]
    assert (live["offering"], live["publisher"], live["program"]) == ("a-live", "a", None)
    assert live["link"] == "http://testserver/api/v1/offerings/a-live/"
    assert (path["offering"], path["publisher"], path["commercial_path"]) == (None, None, "marketplace")
    assert path["link"] is None
    assert api(world["rep"], f"changes/{live['number']}/").json() == live


def test_filters_narrow_each_other_and_say_nothing_of_what_is_hidden(
    world: dict[str, User], api: Callable[..., Any], subtests: pytest.Subtests
) -> None:
    for query, wanted in (
        ("kind=eligibility", ["a-decided", "b-decided", "path-decided"]),
        ("kind=offering,price", ["a-live", "b-live"]),
        ("publisher=a", ["a-live", "a-decided"]),
        ("publisher=a,b&kind=offering", ["a-live", "b-live"]),
        ("offering=b-live,b-draft", ["b-live"]),
        ("offering=none-such", []),
    ):
        with subtests.test(query=query):
            page = api(world["rep"], f"changes/?{query}").json()
            assert [row["what"] for row in page["results"]] == [f"{key} happened." for key in wanted]
            kept = parse_qs(urlsplit(page["next"]).query)
            assert {name: kept[name] for name in parse_qs(query)} == parse_qs(query)


def test_a_wrong_parameter_is_refused(api: Callable[..., Any], subtests: pytest.Subtests) -> None:
    rep = make.user(role=Role.REP)
    for query in ("kind=colour", "cursor=abc", "page_size=0", "since=1", "publisher=a&publisher=b"):
        with subtests.test(query=query):
            assert api(rep, f"changes/?{query}", 400).json()["errors"]


def test_what_one_may_not_know_of_is_not_found_by_its_number(
    world: dict[str, User], api: Callable[..., Any]
) -> None:
    hidden = CatalogChange.objects.get(key="b-draft").number
    api(world["a"], f"changes/{hidden}/", 404)
    api(world["manager"], f"changes/{hidden}/")
    api(world["manager"], "changes/99999999999999999999/", 404)
    api(world["manager"], "changes/x/", 404)


def test_a_list_costs_the_same_whatever_its_length(world: dict[str, User], browser_of: Any) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            assert browser_of(world["a"]).get("/api/v1/changes/").status_code == 200
        return len(caught)

    before = queries()
    for _ in range(10):
        told(make.offering(publisher=make.publisher()))
    sweep()
    assert queries() == before


# --- by week, and ahead


def test_changes_of_a_week_stand_together_and_what_was_made_together_is_one_entry() -> None:
    manager = make.user(role=Role.CATALOG_MANAGER)
    offerings = [make.offering() for _ in range(3)]
    with transaction.atomic():
        together = Change("offering", "{offering} is new.", tuple(o.pk for o in offerings), TODAY)
        tell(together, key="together", at=AT - timedelta(days=9))
        tell(Change("price", "One.", (offerings[0].pk,), TODAY), key="one", at=AT - timedelta(days=1))
        tell(Change("price", "Two.", (offerings[0].pk,), TODAY), key="two", at=AT)
    sweep()
    found = weeks(list(newest_first(changes_for(manager))))
    assert [(week.starts, week.ends) for week in found] == [
        (date(2026, 8, 10), date(2026, 8, 16)),
        (date(2026, 8, 3), date(2026, 8, 9)),
    ]
    assert [entry.change.what for entry in found[0].entries] == ["Two.", "One."]
    (entry,) = found[1].entries
    assert (entry.change.key, len(entry.others)) == ("together", 2)


def test_what_is_decided_for_later_days_is_announced_in_their_order() -> None:
    manager, rep = make.user(role=Role.CATALOG_MANAGER), make.user(role=Role.REP)
    newer = make.offering(name="New")
    old = make.offering(
        name="Old", retires_on=date(2027, 3, 1), deprecated_on=date(2026, 12, 1), replacement=newer
    )
    plan = make.plan(offering=newer)
    make.price(plan=plan, effective=(make.LONG_AGO, date(2026, 10, 1)))
    make.price(plan=plan, effective=(date(2026, 10, 1), None))
    make.price(plan=plan, code="EUR", effective=(date(2026, 10, 1), None))
    make.decision(offering=old, rate_ppm=500_000, effective=(date(2026, 9, 1), date(2027, 1, 1)))
    make.decision(offering=newer, effective=(date(2026, 9, 1), None), checked=False)
    make.offering(name="Secret", publication=Publication.APPROVED, available_on=date(2026, 9, 9))
    said = [(a.day, a.what) for a in announced(rep, TODAY, Asked())]
    assert said == [
        (date(2026, 9, 1), "Quota of Old: 50%"),
        (date(2026, 10, 1), f"New, {plan.name} has a new price"),
        (date(2026, 12, 1), "Old is deprecated: no new deals"),
        (date(2027, 1, 1), "Quota of Old: the decision ends"),
        (date(2027, 3, 1), "Old retires; New replaces it"),
    ]
    assert [a.what for a in announced(rep, date(2026, 12, 1), Asked(kinds=("lifecycle",)))] == [said[-1][1]]
    assert announced(rep, TODAY, Asked(publishers=(newer.publisher.slug,)))[0].kind == "price"
    assert "Secret is generally available" in [a.what for a in announced(manager, TODAY, Asked())]


def test_a_decision_reaches_the_feed_with_its_program() -> None:
    maker, checker = make.user(role=Role.CATALOG_MANAGER), make.user(role=Role.CATALOG_MANAGER)
    offering = make.offering()
    decision = eligibility.propose_decision(
        program="quota",
        scope=Scope(offering_id=offering.pk),
        rate_ppm=500_000,
        start=TODAY,
        end=None,
        reason="Half",
        by=maker,
        at=AT,
    )
    sweep()
    assert not CatalogChange.objects.exists()
    eligibility.check_decision(decision_id=decision.pk, by=checker, at=AT)
    sweep()
    change = CatalogChange.objects.get()
    assert (change.kind, change.program, change.offering_id) == ("eligibility", "quota", offering.pk)
