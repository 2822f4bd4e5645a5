"""The seal: what is changed behind the application's back is found, and the first entry that does not hold is named."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command

from accounts.models import Notification
from config import outbox
from config.models import OutboxMessage
from quotas.models import CreditEntry, Seal, SealBlock
from quotas.services import sealing
from quotas.tasks import seal_night, verify_ledger
from tests.quotas.closing.months import AUGUST, five_closed, five_sold, later, months

pytestmark = pytest.mark.django_db(transaction=True)
Owner = psycopg.Connection


def tampered(owner: Owner, statement: str, *values: object) -> None:
    """As the owner of the database with every trigger off."""
    with owner.transaction():
        owner.execute("SET LOCAL session_replication_role = replica")
        assert owner.execute(statement, values or None).rowcount == 1


TABLES = (
    "creditentry",
    "posting",
    "markedposting",
    "closedtotal",
    "closedquota",
    "periodclose",
    "seal",
    "sealblock",
)


@contextmanager
def put_back(owner: Owner) -> Iterator[None]:
    """What is tampered with inside is as it was afterwards, so that one ledger serves many tamperings."""
    for table in TABLES:
        owner.execute(f"CREATE TEMP TABLE kept_{table} AS SELECT * FROM quotas_{table}")  # noqa: S608
    yield
    with owner.transaction():
        owner.execute("SET LOCAL session_replication_role = replica")
        for table in TABLES:
            owner.execute(f"DELETE FROM quotas_{table}")  # noqa: S608
            owner.execute(f"INSERT INTO quotas_{table} OVERRIDING SYSTEM VALUE SELECT * FROM kept_{table}")  # noqa: S608
            owner.execute(f"DROP TABLE kept_{table}")


def wrong(**how: object) -> list[str]:
    return sealing.verify(invariants_too=False, **how).wrong  # type: ignore[arg-type]


@pytest.fixture
def superuser(worker_database: object, transactional_db: None) -> Owner:
    """Replication role is a superuser's to set: whoever has the database's files can do that much."""
    from tests.conftest import Database

    assert isinstance(worker_database, Database)
    return psycopg.connect(worker_database.server.address(database=worker_database.name), autocommit=True)


def test_a_clean_ledger_holds_and_every_digest_is_known(superuser: Owner) -> None:
    here, close = five_closed()
    here.sold(on=AUGUST)
    nightly = sealing.seal(at=later(days=1))
    assert nightly is not None
    first = Seal.objects.get(close=close)
    assert [seal.number for seal in Seal.objects.order_by("number")] == [1, 2]
    assert (first.content["before"], nightly.content["before"]) == ("", first.digest)
    assert sealing.seal(at=later(days=1)) is None  # nothing was posted since
    found = sealing.verify(against=first.digest)
    assert (found.holds, found.seals, found.entries, found.unsealed) == (True, 2, 6, 0)
    assert found.digest == nightly.digest
    assert found.wrong == []
    assert wrong(against=nightly.digest[:16]) == []
    assert wrong(against="0" * 64) == [
        "No seal of this ledger has that digest: it is of another ledger, or a seal is gone."
    ]
    here.sold(on=AUGUST)
    assert sealing.verify(invariants_too=False).unsealed == 1
    superuser.close()


TAMPERINGS: dict[str, tuple[str, str]] = {
    "an amount": (
        "UPDATE quotas_creditentry SET amount_minor = amount_minor + 1 WHERE id = %s",
        "Entry {id} is not what it was: it was changed after seal 1 of 2026-08-14 19:00 UTC.",
    ),
    "a day": (
        "UPDATE quotas_creditentry SET credit_date = credit_date + 1 WHERE id = %s",
        "Entry {id} is not what it was: it was changed after seal 1 of 2026-08-14 19:00 UTC.",
    ),
    "a month": (
        "UPDATE quotas_creditentry SET posting_period_id = (SELECT id FROM quotas_period WHERE name = 'FY27-M02') WHERE id = %s",
        "Entry {id} is not what it was: it was changed after seal 1 of 2026-08-14 19:00 UTC.",
    ),
    "its posting": (
        "UPDATE quotas_creditentry SET posting_id = (SELECT max(id) FROM quotas_posting) WHERE id = %s",
        "Entry {id} is not what it was: it was changed after seal 1 of 2026-08-14 19:00 UTC.",
    ),
    "when it was recorded": (
        "UPDATE quotas_posting SET recorded_at = recorded_at - interval '1 us' WHERE id = (SELECT posting_id FROM quotas_creditentry WHERE id = %s)",
        "Entry {id} is not what it was: it was changed after seal 1 of 2026-08-14 19:00 UTC.",
    ),
    "gone": (
        "DELETE FROM quotas_creditentry WHERE id = %s",
        "Entry {id} is missing: it was there at seal 1 of 2026-08-14 19:00 UTC.",
    ),
    "no longer known": (
        "DELETE FROM quotas_markedposting WHERE posting_id = (SELECT posting_id FROM quotas_creditentry WHERE id = %s)",
        "Entry {id} is not what it was: it was changed after seal 1 of 2026-08-14 19:00 UTC.",
    ),
}


def test_one_entry_changed_behind_the_application_is_named(superuser: Owner) -> None:
    five_closed()
    entry = CreditEntry.objects.order_by("pk")[1].pk
    found = {}
    for what, (statement, _) in TAMPERINGS.items():
        with put_back(superuser):
            tampered(superuser, statement, entry)
            verdict = sealing.verify(invariants_too=False)
            found[what] = (verdict.checks[0].wrong, verdict.first_entry)
    assert found == {what: ([said.format(id=entry)], entry) for what, (_, said) in TAMPERINGS.items()}
    assert wrong() == []
    superuser.close()


def test_an_entry_added_to_a_sealed_posting_is_named(superuser: Owner) -> None:
    five_closed()
    entry = CreditEntry.objects.order_by("pk")[1].pk
    columns = (
        "posting_id, deal_id, deal_version_id, amount_minor, reverses_id, rep_id, team_id, rule_id, rule_version_id, plan_version_id,"
        " decision_id, fx_rate_id, posting_period_id, origin_period_id, credit_date, measure_id, line_no, component, receiver_class, adjustment_id"
    )
    tampered(
        superuser,
        f"INSERT INTO quotas_creditentry (id, {columns}) SELECT 999999, {columns} FROM quotas_creditentry WHERE id = %s",  # noqa: S608
        entry,
    )
    assert wrong()[0] == "Entry 999999 was added to a posting that seal 1 of 2026-08-14 19:00 UTC covers."
    assert sealing.verify(invariants_too=False).first_entry == 999999
    superuser.close()


OTHER_TAMPERINGS: dict[str, tuple[str, str]] = {
    "a frozen total": (
        "UPDATE quotas_closedtotal SET direct_minor = direct_minor + 1 WHERE period_id = (SELECT id FROM quotas_period WHERE name = 'FY27-M01')",
        "What FY27-M01 v1 froze is not what the ledger says",
    ),
    "a frozen quota": (
        "UPDATE quotas_closedquota SET quota_minor = quota_minor + 1 WHERE rep_id = (SELECT min(rep_id) FROM quotas_closedquota)",
        "The totals or quotas that FY27-M01 v1 froze were changed",
    ),
    "a digest of the close": (
        "UPDATE quotas_periodclose SET frozen_digest = repeat('a', 64)",
        "The close FY27-M01 v1 was changed after it was sealed: frozen.",
    ),
    "who approved": (
        "UPDATE quotas_periodclose SET approved_by_id = (SELECT min(id) FROM accounts_user WHERE id NOT IN (asked_by_id, approved_by_id))",
        "The close FY27-M01 v1 was changed after it was sealed: approved_by.",
    ),
    "what was acknowledged": (
        "UPDATE quotas_periodclose SET checklist = checklist - 0",
        "The close FY27-M01 v1 was changed after it was sealed: checklist.",
    ),
    "when it was sealed": (
        "UPDATE quotas_seal SET made_at = made_at - interval '1 day'",
        "Seal 1 is not what was sealed: its row says something else than its content.",
    ),
    "a seal's content": (
        "UPDATE quotas_seal SET content = jsonb_set(content, '{entries}', '7')",
        "Seal 1 is not what was sealed: its content or its digest was changed.",
    ),
    "a seal's row": (
        "UPDATE quotas_seal SET entries = 7",
        "Seal 1 is not what was sealed: its row says something else than its content.",
    ),
    "a block": (
        "UPDATE quotas_sealblock SET tags = set_byte(tags, 0, (get_byte(tags, 0) + 1) % 256)",
        "The blocks of seal 1 are not what was sealed: block 1 was changed.",
    ),
    "no block": (
        "DELETE FROM quotas_sealblock",
        "Blocks of seal 1 are missing, or were added.",
    ),
}


def test_what_is_kept_beside_the_entries_cannot_be_changed_either(superuser: Owner) -> None:
    five_closed()
    missed = {}
    for what, (statement, said) in OTHER_TAMPERINGS.items():
        with put_back(superuser):
            tampered(superuser, statement)
            told = wrong()
            if not any(sentence.startswith(said) for sentence in told):
                missed[what] = told
    assert missed == {}
    assert wrong() == []
    superuser.close()


def test_a_seal_that_is_gone_is_missed_by_the_chain_or_by_its_digest(superuser: Owner) -> None:
    here, close = five_closed()
    first = Seal.objects.get(close=close)
    here.sold(on=AUGUST)
    last = sealing.seal(at=later(days=1))
    assert last is not None
    superuser.execute("SET session_replication_role = replica")
    superuser.execute("DELETE FROM quotas_seal WHERE number = 2")
    superuser.execute("SET session_replication_role = origin")
    assert wrong() == []  # nothing in the database says that there was another one
    assert wrong(against=last.digest) != []
    superuser.execute("SET session_replication_role = replica")
    superuser.execute("UPDATE quotas_seal SET number = 2 WHERE number = 1")
    superuser.execute("SET session_replication_role = origin")
    assert wrong()[0] == "Seal 1 is missing: the next one there is seal 2."
    assert first.digest
    superuser.close()


def test_another_key_says_so_and_a_rotated_one_goes_on(settings: Any) -> None:
    here, _ = five_closed()
    before = settings.LEDGER_SEAL_KEY
    settings.LEDGER_SEAL_KEY = "another-key-" + "n" * 32
    name = Seal.objects.get().key_name
    assert wrong()[0] == (
        f"Seal 1 was made with the key {name}, which is not at hand: this is another LEDGER_SEAL_KEY."
        " Set the right one, or name it in LEDGER_SEAL_KEYS_BEFORE."
    )
    settings.LEDGER_SEAL_KEYS_BEFORE = [before]
    here.sold(on=AUGUST)
    made = sealing.seal(at=later(days=1))
    assert made is not None
    assert made.key_name != name
    assert wrong() == []


def test_blocks_go_on_where_the_one_before_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quotas.crediting.seals.BLOCK", 2)
    here = five_sold()
    here.close()
    assert [len(block.entries) for block in SealBlock.objects.order_by("position")] == [2, 2, 1]
    assert here.july.name == "FY27-M01"
    assert wrong() == []


def test_the_command_names_what_does_not_hold_and_fails(superuser: Owner) -> None:
    _, close = five_closed()
    said = StringIO()
    call_command("verify_ledger", "--against", Seal.objects.get(close=close).digest, stdout=said)
    assert "1 seals over 5 entries, 0 postings not sealed yet" in said.getvalue()
    assert "BROKEN" not in said.getvalue()
    entry = CreditEntry.objects.order_by("pk")[0].pk
    tampered(superuser, "UPDATE quotas_creditentry SET amount_minor = amount_minor + 1 WHERE id = %s", entry)
    said = StringIO()
    with pytest.raises(
        CommandError, match="every sealed entry is as it was; a closed snapshot equals recomputation"
    ):
        call_command("verify_ledger", "--skip-invariants", stdout=said)
    assert f"Entry {entry} is not what it was" in said.getvalue()
    with pytest.raises(CommandError, match="totals equal the ledger"):
        call_command("verify_ledger", stdout=StringIO())
    superuser.close()


def test_the_night_seals_once_a_day_and_a_broken_ledger_is_told_once(
    superuser: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = months()
    here.sold()
    at = datetime(2026, 8, 15, 8, tzinfo=UTC)  # one in the morning in California

    def night(moment: datetime) -> int:
        monkeypatch.setattr("config.clock.now", lambda: moment)
        seal_night()
        return Seal.objects.count()

    assert night(at) == 0
    assert night(at + timedelta(hours=1, minutes=5)) == 1
    here.sold(on=AUGUST)
    assert night(at + timedelta(hours=12)) == 1
    assert night(at + timedelta(days=3, hours=14)) == 2  # nights missed are made up for by one
    verify_ledger()
    assert not OutboxMessage.objects.filter(key__startswith="notify:ledger").exists()
    tampered(
        superuser,
        "UPDATE quotas_creditentry SET amount_minor = 1 WHERE id = %s",
        CreditEntry.objects.order_by("pk")[0].pk,
    )
    for _ in range(2):
        verify_ledger()
    (told,) = OutboxMessage.objects.filter(key__startswith="notify:ledger")
    outbox.carry_out(message_id=told.pk, at=at)
    notes = Notification.objects.filter(text__startswith="The ledger does not hold: Entry ")
    assert {note.user for note in notes} >= {here.admin, here.world.auditor}
    superuser.close()


def test_the_application_itself_cannot_change_a_seal() -> None:
    five_closed()
    from django.db import DatabaseError, transaction

    acts: list[Callable[[], object]] = [
        lambda: Seal.objects.update(entries=7),
        lambda: Seal.objects.all().delete(),
        lambda: SealBlock.objects.update(position=7),
    ]
    for act in acts:
        with pytest.raises(DatabaseError), transaction.atomic():
            act()
