"""make bench: every figure against a floor measured in the same run on the same throw-away server, which is durable like a real one.

SCALE chooses the number of deal lines: 10k for a smoke test, 100k by default, 1m, 10m. ONLY=name,name runs some.
A figure is {value, unit, floor, ratio, n}: the median of n runs, what the floor came to in the same unit, and how near ours is to it.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from config.databases import APPLICATION_ROLE, OWNER_ROLE
from config.embedded import Server

RESULTS = Path(__file__).parent / "results.json"
SCALES = {"10k": 10_000, "100k": 100_000, "1m": 1_000_000, "10m": 10_000_000}


def main() -> int:
    scale = os.environ.get("SCALE", "100k")
    if scale not in SCALES:
        print(f"SCALE is one of {', '.join(SCALES)}, not {scale}.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="parity-bench-") as place:
        Path(place).chmod(0o711)
        server = Server(
            root=Path(place) / "postgres",
            sockets=Path(place) / "run",
            settings={
                "shared_buffers": "2GB",
                "max_wal_size": "8GB" if SCALES[scale] <= 1_000_000 else "2GB",  # of some 35 GB in all then
                "autovacuum": "off",
                "max_parallel_workers_per_gather": "0",
            },
        )
        server.start()
        with psycopg.connect(server.address(database="postgres"), autocommit=True) as admin:
            for right in ("pg_checkpoint", "SET ON PARAMETER session_replication_role"):
                admin.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(right), sql.Identifier(OWNER_ROLE)))
        try:
            return _measure(server, SCALES[scale])
        finally:
            server.stop()


def _measure(server: Server, lines: int) -> int:
    for variable, role in (("DATABASE_URL", APPLICATION_ROLE), ("DATABASE_OWNER_URL", OWNER_ROLE)):
        os.environ[variable] = f"postgresql://{role}@/parity?host={quote(str(server.sockets), safe='')}"
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.test"
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", database="owner", verbosity=0)

    from bench import catalog, closing, data, figures, importing, pages, sourcing, statements

    data.build(lines=lines)
    wanted = {name for name in os.environ.get("ONLY", "").split(",") if name}
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() and wanted else {}
    for measure, names in (
        figures.GROUPS
        | pages.GROUPS
        | catalog.GROUPS
        | sourcing.GROUPS
        | statements.GROUPS
        | closing.GROUPS
        | importing.GROUPS
    ).items():
        if wanted and not wanted & set(names):
            continue
        for name, figure in measure(lines).items():
            results[name] = figure.as_json()
            tail = "" if figure.p95 is None else f"  p95 {figure.p95:.2f}"
            print(
                f"{name:32} {figure.value:>12,.2f} {figure.unit:8} floor {figure.floor:>12,.2f}  ratio {figure.ratio:.3f}  n {figure.n}{tail}",
                flush=True,
            )
    results["machine"] = {"cores": os.cpu_count(), "lines": lines, "postgresql": data.server_version()}
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
