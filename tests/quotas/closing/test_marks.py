"""Marks: what was committed when they were taken, and nothing that commits later, whatever its number or its time."""

import threading
from datetime import timedelta

import psycopg
import pytest
from django.db import connection, connections, transaction

from config.databases import APPLICATION_ROLE
from config.refusals import Invalid
from quotas.crediting.engine import PERIOD_LOCK
from quotas.models import AsOf, LedgerMark, MarkedPosting, Posting
from quotas.services.marking import as_of, mark
from tests.conftest import Database
from tests.quotas.closing.months import AT, later

pytestmark = pytest.mark.django_db(transaction=True)

POST = "INSERT INTO quotas_posting (key, digest, kind, recorded_at, reason) VALUES (%s, '', 'load', %s, '') RETURNING id"


def posted(session: psycopg.Connection, key: str) -> int:
    """As the engine does: the lock of the periods, shared, then a number; committed by the caller."""
    session.execute("SELECT pg_advisory_xact_lock_shared(%s, 0)", [PERIOD_LOCK])
    row = session.execute(POST, [key, AT]).fetchone()
    assert row is not None
    return int(row[0])


def known_to(taken: LedgerMark) -> set[int]:
    return set(MarkedPosting.objects.filter(mark_id__lte=taken.pk).values_list("posting_id", flat=True))


def test_a_posting_with_a_lower_number_that_commits_later_belongs_to_the_next_mark(
    worker_database: Database,
) -> None:
    address = worker_database.address(APPLICATION_ROLE)
    with psycopg.connect(address) as slow, psycopg.connect(address) as quick:
        first = posted(slow, "slow")
        second = posted(quick, "quick")
        assert first < second
        quick.commit()
        one = mark(at=AT)
        assert known_to(one) == {second}
        assert mark(at=AT) == one  # nothing was posted since
        slow.commit()
        two = mark(at=AT)
        assert known_to(two) == {first, second}
        assert known_to(one) == {second}
        assert two.settled_id == second
        third = posted(quick, "third")
        fourth = posted(slow, "fourth")
        slow.commit()
        three = mark(at=AT)
        assert (three.settled_id, known_to(three)) == (second, {first, second, fourth})
        quick.rollback()
        fifth = posted(quick, "fifth")
        quick.commit()
        last = mark(at=AT)
        assert (known_to(last), last.settled_id) == ({first, second, fourth, fifth}, fifth)
        assert third not in known_to(last)


def test_what_was_settled_is_not_looked_at_again(worker_database: Database) -> None:
    """A posting below the settled number cannot come: were it there, it would not be seen, which shows that nobody looks."""
    with psycopg.connect(worker_database.address(APPLICATION_ROLE)) as session:
        numbers = [posted(session, f"p{n}") for n in range(3)]
        session.commit()
        settled = mark(at=AT)
        assert settled.settled_id == numbers[-1]
        session.execute(
            "INSERT INTO quotas_posting (id, key, digest, kind, recorded_at, reason) OVERRIDING SYSTEM VALUE"
            " VALUES (-5, 'impossible', '', 'load', %s, '')",
            [AT],
        )
        session.commit()
        assert mark(at=AT) == settled


def test_many_marks_at_once_take_every_posting_once(worker_database: Database) -> None:
    address = worker_database.address(APPLICATION_ROLE)
    failures: list[BaseException] = []

    def work(nth: int) -> None:
        try:
            with psycopg.connect(address, autocommit=True) as session:
                for n in range(15):
                    with session.transaction():
                        posted(session, f"{nth}-{n}")
                    if n % 5 == nth % 5:
                        mark(at=AT)
        except BaseException as failure:
            failures.append(failure)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(nth,)) for nth in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    last = mark(at=AT)
    assert known_to(last) == set(Posting.objects.values_list("pk", flat=True))
    assert MarkedPosting.objects.count() == 60


def test_a_moment_is_answered_by_the_same_mark_ever_after(worker_database: Database) -> None:
    with psycopg.connect(worker_database.address(APPLICATION_ROLE)) as session:
        posted(session, "before")
        session.commit()
        moment = AT - timedelta(hours=1)
        asked = as_of(moment, at=AT)
        late = posted(session, "recorded earlier, committed later")
        session.commit()
    assert late in known_to(mark(at=later(minutes=1)))
    assert as_of(moment, at=later(days=1)) == asked
    assert late not in known_to(asked)
    assert as_of(AT, at=AT) != asked
    assert AsOf.objects.count() == 2
    with pytest.raises(Invalid) as refused:
        as_of(later(seconds=1), at=AT)
    assert [problem.pointer for problem in refused.value.problems] == ["/as_of"]


def test_a_mark_inside_a_posting_transaction_knows_what_that_has_posted() -> None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock_shared(%s, 0)", [PERIOD_LOCK])
            cursor.execute(POST, ["own", AT])
            ((own,),) = cursor.fetchall()
        assert known_to(mark(at=AT)) == {own}
