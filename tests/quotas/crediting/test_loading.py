"""The first load against posting: the same ledger, totals, reasons and counts, guarded as well."""

import threading
from collections import Counter
from datetime import UTC, date, datetime
from itertools import product
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction

from quotas.crediting import engine, loading
from quotas.crediting.invariants import broken
from quotas.models import (
    CreditEntry,
    CreditTotal,
    Deal,
    DealShare,
    DealState,
    Period,
    Posting,
    PostingCount,
    UncreditedLine,
)
from tests import make
from tests.quotas.crediting.worlds import two_months

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

AT = datetime(2026, 8, 14, 12, tzinfo=UTC)
STARTS, ENDS = date(2026, 7, 1), date(2026, 9, 1)


def kept() -> tuple[Counter[Any], Counter[Any], Counter[Any], Counter[Any]]:
    """Everything but ids: entries, totals, reasons, counts."""
    entries = Counter(
        CreditEntry.objects.values_list(
            "posting_period_id",
            "origin_period_id",
            "credit_date",
            "deal_id",
            "deal_version_id",
            "line_no",
            "rep_id",
            "team_id",
            "receiver_class",
            "measure_id",
            "component",
            "rule_id",
            "rule_version_id",
            "plan_version_id",
            "decision_id",
            "fx_rate_id",
            "amount_minor",
            "reverses_id",
        )
    )
    totals = Counter(
        CreditTotal.objects.values_list(
            "period_id", "measure_id", "basis", "team_id", "rep_id", "direct_minor", "overlay_minor"
        )
    )
    reasons = Counter(
        UncreditedLine.objects.values_list("deal_id", "line_no", "measure_id", "rep_id", "reason")
    )
    counts = Counter(PostingCount.objects.values_list("posting__key", "posting__digest", "outcome", "count"))
    return entries, totals, reasons, counts


def post() -> engine.Outcome:
    with transaction.atomic():
        return engine.post(engine.BySpan(STARTS, ENDS), key="first", kind="load", by=None, at=AT)


def load(key: str = "first") -> engine.Outcome:
    return loading.load(starts=STARTS, ends=ENDS, key=key, by=None, at=AT)


def leftovers() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("select nspname from pg_namespace where nspname like 'quotas\\_load\\_%%'")
        return [name for (name,) in cursor.fetchall()]


def in_order() -> dict[int, list[tuple[object, ...]]]:
    """Each deal's entries as they are numbered."""
    found: dict[int, list[tuple[object, ...]]] = {}
    for entry in CreditEntry.objects.order_by("id"):
        found.setdefault(entry.pins.deal_id, []).append(
            (entry.line_no, entry.measure_id, entry.component, entry.receiver_class, entry.rep_id)
        )
    return found


def test_a_load_gives_what_posting_gives_entry_for_entry() -> None:
    two_months()
    with transaction.atomic():
        outcome = post()
        posted, order = kept(), in_order()
        transaction.set_rollback(True)
    assert {"credited", "held", "not_eligible"} <= outcome.counts.keys()
    assert {entry[10] for entry in posted[0]} == {1, 2, 3, 4}  # components
    assert {entry[8] for entry in posted[0]} == {1, 2}  # receiver classes

    assert load().counts == outcome.counts
    assert kept() == posted
    assert in_order() == order
    assert broken() == {}
    assert leftovers() == []
    with transaction.atomic():
        again = engine.post(engine.BySpan(STARTS, ENDS), key="again", kind="recredit", by=None, at=AT)
    assert again.counts["unchanged"] == outcome.counts["credited"]
    assert not {"credited", "reversed"} & again.counts.keys()


def test_what_was_loaded_can_be_corrected_and_posted_beside() -> None:
    world = two_months()
    load()
    first = Deal.objects.order_by("id")[0]
    Deal.objects.filter(pk=first.pk).update(state=DealState.CANCELLED)
    more = make.deal(owner=world.cy, close_date=date(2026, 8, 20), state="approved")
    with transaction.atomic():
        engine.post(engine.ByDeal([first.pk, more.pk]), key="after", kind="cancel", by=None, at=AT)
    assert sum(e.amount_minor for e in CreditEntry.objects.filter(deal=first)) == 0
    assert CreditEntry.objects.filter(deal=more).exists()
    assert broken() == {}


def test_the_same_key_loads_once() -> None:
    two_months()
    first = load()
    again = load()
    assert (again.replayed, again.posting_id, dict(again.counts)) == (
        True,
        first.posting_id,
        dict(first.counts),
    )
    with pytest.raises(engine.PostingKeyReused):
        loading.load(starts=STARTS, ends=date(2026, 8, 1), key="first", by=None, at=AT)
    assert Posting.objects.count() == 1


def test_a_month_that_is_not_open_is_refused() -> None:
    two_months()
    for state in ("closed", "closing", "future"):
        Period.objects.filter(name="FY27-M02").update(state=state)
        with pytest.raises(loading.PeriodNotLoadable) as refused:
            load()
        assert [p.code for p in refused.value.problems] == ["period_not_open"], state
    assert not CreditEntry.objects.exists()
    assert not Posting.objects.exists()


def test_a_month_that_holds_credit_and_a_span_that_is_no_row_of_months_are_refused() -> None:
    two_months()
    post_one = Deal.objects.filter(state="approved", held=False).order_by("id").first()
    assert post_one is not None
    with transaction.atomic():
        engine.post(engine.ByDeal([post_one.pk]), key="one", kind="approve", by=None, at=AT)
    before = kept()
    with pytest.raises(loading.PeriodNotLoadable) as refused:
        load()
    assert [p.code for p in refused.value.problems] == ["period_not_empty"]
    with pytest.raises(loading.PeriodNotLoadable) as refused:
        loading.load(starts=date(2026, 8, 1), ends=date(2026, 8, 15), key="half", by=None, at=AT)
    assert [p.code for p in refused.value.problems] == ["not_whole_months"]
    assert kept() == before


def test_a_deal_that_stands_in_another_month_is_refused() -> None:
    world = two_months()
    june = make.deal(owner=world.ana, close_date=date(2026, 6, 30), state="approved")
    with transaction.atomic():
        engine.post(engine.ByDeal([june.pk]), key="june", kind="approve", by=None, at=AT)
    moved = june.latest
    moved.pk, moved.number, moved.close_date = None, 2, date(2026, 7, 2)
    with transaction.atomic():
        moved.save(force_insert=True)
        DealShare.objects.create(version=moved, ordinal=1, rep=world.ana, ppm=1_000_000)
    Deal.objects.filter(pk=june.pk).update(credited_version=moved, latest_version=moved)
    with pytest.raises(loading.PeriodNotLoadable) as refused:
        load()
    assert [p.code for p in refused.value.problems] == ["deals_credited_elsewhere"]
    assert Posting.objects.count() == 1


def test_a_load_that_dies_writes_nothing_and_the_next_one_clears_up(monkeypatch: pytest.MonkeyPatch) -> None:
    two_months()

    class Killed(BaseException):
        pass

    def die(_months: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(loading, "_swap", die)
        with pytest.raises(Killed):
            load()
    assert not any(kept())
    assert leftovers()
    with transaction.atomic():  # posting is let in again
        engine.lock(engine.BySpan(STARTS, ENDS))
    assert load().counts["credited"] == CreditEntry.objects.count() > 0
    assert leftovers() == []
    assert broken() == {}


def test_nobody_posts_while_a_load_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    two_months()
    build, let_in = loading._build, []

    def watched(*arguments: Any) -> Any:
        built = build(*arguments)
        with connection.cursor() as cursor:
            cursor.execute("select pg_try_advisory_xact_lock_shared(%s, 0)", [engine.PERIOD_LOCK])
            let_in.append(cursor.fetchone())
        return built

    monkeypatch.setattr(loading, "_build", watched)
    load()
    assert let_in == [(False,)]


def test_a_long_reader_holds_the_swap_up_and_is_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    two_months()
    monkeypatch.setattr(loading, "PATIENCE", "50ms")
    swap, tries, read = loading._swap, [], threading.Event()

    def counted(months: Any) -> None:
        tries.append(1)
        if len(tries) == 3:
            read.set()
            reader.join()
        swap(months)

    def reading() -> None:
        try:
            with transaction.atomic():
                assert CreditEntry.objects.count() == 0
                started.set()
                read.wait(30)
                assert CreditEntry.objects.count() == 0
        finally:
            connections.close_all()

    monkeypatch.setattr(loading, "_swap", counted)
    started = threading.Event()
    reader = threading.Thread(target=reading)
    reader.start()
    started.wait(30)
    load()
    assert len(tries) == 3
    assert CreditEntry.objects.exists()
    assert broken() == {}


def test_loaded_entries_refuse_change_as_posted_ones_do(
    owner_connection: "psycopg.Connection[tuple[object, ...]]", subtests: pytest.Subtests
) -> None:
    two_months()
    load()
    before = kept()
    month = Period.objects.get(name="FY27-M01").pk
    statements = ("UPDATE {} SET amount_minor = 1", "DELETE FROM {}", "TRUNCATE {}")
    for statement, table in product(statements, ("quotas_creditentry", f"quotas_creditentry_p{month}")):
        with subtests.test(statement.format(table)):
            with pytest.raises(psycopg.Error, match="append-only"):
                owner_connection.execute(statement.format(table))
            with pytest.raises(Exception, match="permission denied"), connection.cursor() as cursor:
                cursor.execute(statement.format(table))
    with pytest.raises(Exception, match="permission denied"), connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM quotas_creditentry_p{month}")  # noqa: S608
    assert kept() == before


def test_a_loaded_partition_is_made_like_every_other(
    owner_connection: "psycopg.Connection[tuple[object, ...]]",
) -> None:
    two_months()
    load()
    loaded, other = (Period.objects.get(name=name).pk for name in ("FY27-M01", "FY27-M05"))

    def made(month: int) -> list[tuple[object, ...]]:
        """Columns, constraints, indexes and triggers by name, and the bounds, with the month's number taken out."""
        rows = owner_connection.execute(
            f"""select 'column', attname::text, format_type(atttypid, atttypmod) || attnotnull || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
                from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
                where attrelid = 'quotas_creditentry_p{month}'::regclass and attnum > 0
                union all select 'constraint', conname::text, pg_get_constraintdef(oid) from pg_constraint
                where conrelid = 'quotas_creditentry_p{month}'::regclass and contype <> 'n'
                union all select 'index', c.relname::text, split_part(pg_get_indexdef(c.oid), ' USING ', 2) || i.relname from pg_index x
                join pg_class c on c.oid = x.indexrelid join pg_inherits h on h.inhrelid = c.oid join pg_class i on i.oid = h.inhparent
                where x.indrelid = 'quotas_creditentry_p{month}'::regclass
                union all select 'trigger', tgname::text, tgtype::text || tgenabled::text from pg_trigger where tgrelid = 'quotas_creditentry_p{month}'::regclass
                union all select 'bounds', '', pg_get_expr(relpartbound, oid) || coalesce(relacl::text, '') from pg_class where oid = 'quotas_creditentry_p{month}'::regclass"""  # noqa: S608
        ).fetchall()
        return sorted(
            tuple(str(v).replace(f"_p{month}", "_pN").replace(f"({month})", "(N)") for v in row)
            for row in rows
        )

    assert made(loaded) == made(other)


def test_the_command_says_what_it_did_and_refuses_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    two_months()
    call_command("credit_load", "--from", "FY27-M01", "--to", "FY27-M02")
    said = capsys.readouterr().out
    assert f"{CreditEntry.objects.count():,} credited" in said
    call_command("credit_load", "--from", "FY27-M01", "--to", "FY27-M02")
    assert "was loaded before" in capsys.readouterr().out
    with pytest.raises(CommandError, match="FY27-M02 holds credit already"):
        call_command("credit_load", "--from", "FY27-M02", "--to", "FY27-M02")
    with pytest.raises(CommandError, match="There is no month FY99-M01"):
        call_command("credit_load", "--from", "FY99-M01", "--to", "FY27-M02")
