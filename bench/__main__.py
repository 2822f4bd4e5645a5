"""make bench: every figure against a floor measured in the same run on the same throw-away server, which is durable like a real one.

SCALE chooses the number of deal lines: 10k for a smoke test, 100k by default, 1m, 10m. ONLY=name,name runs some.
A figure is {value, unit, floor, ratio, n}: the median of n runs, what the floor came to in the same unit, and how near ours is to it.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

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
                "max_wal_size": "8GB",
                "autovacuum": "off",
                "max_parallel_workers_per_gather": "0",
            },
        )
        server.start()
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

    from bench import data, figures

    data.build(lines=lines)
    wanted = [name for name in os.environ.get("ONLY", "").split(",") if name]
    measures: dict[str, Callable[[], figures.Figure]] = figures.FIGURES
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() and wanted else {}
    for name, measure in measures.items():
        if wanted and name not in wanted:
            continue
        figure = measure()
        results[name] = figure.as_json()
        print(
            f"{name:36} {figure.value:>12,.2f} {figure.unit:12} floor {figure.floor:>12,.2f}  ratio {figure.ratio:.2f}  n {figure.n}",
            flush=True,
        )
    results["machine"] = {"cores": os.cpu_count(), "lines": lines, "postgresql": data.server_version()}
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
