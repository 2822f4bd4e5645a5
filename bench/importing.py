"""Deals out of a CSV file: what reading, checking and writing them takes beside a bare COPY of what they become.

The floor is COPY of the very rows that the import writes, ready made, into the same tables with their indexes, constraints
and audit trail: what has to be written anyhow. Crediting comes after and is measured by itself.
"""

import csv
import io
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

from django.db import connection, models, transaction

from accounts.audit import acting
from accounts.models import Role, User
from bench.data import owner
from bench.figures import Figure, seconds
from marketplace.models import Customer, Offering
from quotas.models import Deal, DealEvent, DealLine, DealShare, DealVersion, Rep, SalesImport, SourceRecord
from quotas.services.importing import Options, carry_out_file
from tests import make

AT = datetime(2027, 7, 2, 12, tzinfo=UTC)
ROUNDS = 3
_OWN = "SELECT id FROM quotas_deal WHERE source = 'bench-crm'"
_VERSIONS = f"SELECT id FROM quotas_dealversion WHERE deal_id IN ({_OWN})"
_OF_THE_IMPORT: Mapping[type[models.Model], str] = {
    SalesImport: "id = (SELECT max(id) FROM quotas_salesimport)",
    Deal: "source = 'bench-crm'",
    DealVersion: f"deal_id IN ({_OWN})",
    DealLine: f"version_id IN ({_VERSIONS})",
    DealShare: f"version_id IN ({_VERSIONS})",
    DealEvent: f"deal_id IN ({_OWN})",
    SourceRecord: "source = 'bench-crm'",
}
TABLES = tuple(_OF_THE_IMPORT)
MAP = """
kind = "deals"
source = "bench-crm"
[columns]
external_id = "Opportunity ID"
title = "Opportunity Name"
stage = "Stage"
close_date = "Close Date"
amount = "Amount"
currency = "Currency"
owner = "Owner"
account = "Account Name"
offering = "Product"
term_months = "Term"
quantity = "Quantity"
[values.stage]
"Closed Won" = "submitted"
"*" = "skip"
"""


def importing(lines: int) -> dict[str, Figure]:
    """Each round imports the file, and then copies what came of it, in transactions that are rolled back after their last check."""
    rows = 300_000 if lines >= 100_000 else 30_000
    admin = make.user(role=Role.COMP_ADMIN)
    ours, floors, raw = [], [], []
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "opportunities.csv"
        copies = {model: Path(place) / f"{model._meta.db_table}.copy" for model in TABLES}
        _write(path, rows)
        for _ in range(ROUNDS):
            ours.append(rows / _rolled_back(partial(_import, path, admin, rows), then=partial(_keep, copies)))
            floors.append(rows / _rolled_back(partial(_copy, copies, admin)))
            raw.append(rows / seconds(partial(_copy_raw, path)))
    return {"import_rows_per_s": _figure(ours, floors), "import_vs_copy_of_file": _figure(ours, raw)}


def _rolled_back(job: Callable[[], object], then: Callable[[], object] | None = None) -> float:
    """Seconds of a job with all its deferred checks. Dead rows are cleared away after it."""
    with transaction.atomic(), connection.cursor() as cursor:
        taken = seconds(job) + seconds(lambda: cursor.execute("SET CONSTRAINTS ALL IMMEDIATE"))
        if then is not None:
            then()
        transaction.set_rollback(True)
    for model in TABLES:
        owner(f"VACUUM ANALYZE {model._meta.db_table}")
    return taken


def _figure(ours: list[float], floors: list[float]) -> Figure:
    value, floor = statistics.median(ours), statistics.median(floors)
    return Figure(value, "rows/s", floor, value / floor, len(ours))


def _write(path: Path, rows: int) -> None:
    chance = Random(7)
    reps = list(Rep.objects.filter(slug__startswith="r-").values_list("slug", flat=True)[:5000])
    customers = list(Customer.objects.filter(slug__startswith="c-").values_list("slug", flat=True)[:20000])
    offerings = list(Offering.objects.filter(slug__startswith="o-").values_list("slug", flat=True))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Opportunity ID", "Opportunity Name", "Stage", "Close Date", "Amount", "Currency", "Owner", "Account Name", "Product", "Term", "Quantity"])  # fmt: skip
        for n in range(rows):
            day = date(2026, 7, 1) + timedelta(days=chance.randrange(365))
            amount = f"{chance.randrange(100, 90_000_000) / 100:.2f}"
            writer.writerow([f"006{n:012d}", f"Opportunity {n}", "Closed Won", day.isoformat(), amount, chance.choice(("USD", "USD", "EUR")), chance.choice(reps), chance.choice(customers), chance.choice(offerings), chance.choice(("12", "24", "36")), ""])  # fmt: skip


def _import(path: Path, admin: User, rows: int) -> None:
    run = carry_out_file(kind="deals", path=path, map_text=MAP, options=Options(), by=admin, at=AT)
    if run.counts != {"new": rows}:
        raise RuntimeError(f"The import came to {run.counts} {run.reasons} {run.problem}.")


def _keep(copies: Mapping[type[models.Model], Path]) -> None:
    """Write what the import came to into files, as COPY takes it in."""
    for model, file in copies.items():
        statement = f"COPY (SELECT * FROM {model._meta.db_table} WHERE {_OF_THE_IMPORT[model]}) TO STDOUT"
        with (
            connection.cursor() as cursor,
            file.open("wb") as out,
            cursor.cursor.copy(statement) as copy,
        ):
            for block in copy:
                out.write(block)


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while block := source.read(io.DEFAULT_BUFFER_SIZE * 8):
            yield block


def _copy(copies: Mapping[type[models.Model], Path], admin: User) -> None:
    acting(by=admin, at=AT, reason="floor")
    for model, file in copies.items():
        with (
            connection.cursor() as cursor,
            cursor.cursor.copy(f"COPY {model._meta.db_table} FROM STDIN") as copy,
        ):
            for block in _blocks(file):
                copy.write(block)


def _copy_raw(path: Path) -> None:
    owner("DROP TABLE IF EXISTS bench_raw")
    owner("CREATE TABLE bench_raw (id text PRIMARY KEY, title text, stage text, close_date date, amount numeric, currency text, owner text, account text, product text, term int, quantity text)")  # fmt: skip
    owner("GRANT ALL ON bench_raw TO PUBLIC")
    with (
        transaction.atomic(),
        connection.cursor() as cursor,
        cursor.cursor.copy("COPY bench_raw FROM STDIN WITH (FORMAT csv, HEADER)") as copy,
    ):
        for block in _blocks(path):
            copy.write(block)


GROUPS = {importing: ("import_rows_per_s", "import_vs_copy_of_file")}
