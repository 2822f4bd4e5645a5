"""An as-of answer beside a posting that is older and commits later, in two sessions of the database."""

import psycopg
import pytest

from config.databases import APPLICATION_ROLE
from quotas.crediting.engine import PERIOD_LOCK
from quotas.models import CreditEntry, Period
from quotas.selectors.boards import team_board
from quotas.services.reading import asked_reading
from tests.conftest import Database
from tests.quotas.closing.months import AT, AUGUST, later, months

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_was_recorded_before_the_moment_and_commits_after_the_answer_never_appears_in_it(
    worker_database: Database,
) -> None:
    made = months()
    made.sold(on=AUGUST, amount=100_00)
    entry = CreditEntry.objects.get(posting_period=made.august)

    def credited(asked: str) -> int:
        period = Period.objects.get(pk=made.august.pk)
        reading = asked_reading({"as_of": asked}, period=period, at=later(hours=2))
        return team_board(
            team=made.world.team,
            period=period,
            measure=made.world.bookings,
            at=later(hours=2),
            viewer=made.admin,
            reading=reading,
        ).credited_minor

    with psycopg.connect(worker_database.address(APPLICATION_ROLE)) as slow:
        slow.execute("SELECT pg_advisory_xact_lock_shared(%s, 0)", [PERIOD_LOCK])
        row = slow.execute(
            "INSERT INTO quotas_posting (key, digest, kind, recorded_at, reason) VALUES ('slow', '', 'load', %s, '') RETURNING id",
            [AT],
        ).fetchone()
        assert row is not None
        copied = (
            "posting_period_id, origin_period_id, credit_date, deal_id, deal_version_id, line_no, rep_id, team_id, receiver_class,"
            " measure_id, component, rule_id, rule_version_id, plan_version_id, decision_id, fx_rate_id"
        )
        copy = (
            f"INSERT INTO quotas_creditentry (id, posting_id, amount_minor, {copied})"  # noqa: S608 -- our own columns
            f" SELECT id + 1000000, %s, 700, {copied} FROM quotas_creditentry WHERE id = %s"
        )
        slow.execute(copy, [row[0], entry.pk])
        assert credited(later(hours=1).isoformat()) == 100_00
        slow.commit()

    assert credited(later(hours=1).isoformat()) == 100_00
    assert credited(later(minutes=30).isoformat()) == 107_00
