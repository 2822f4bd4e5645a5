"""make lighthouse: what Lighthouse says of the pages that people spend their day on, as a phone and as a desktop.

Takes the package of that name from npm into .local/lighthouse (nothing of it is part of Parity), looks at the demo of
make screenshots (BASE_URL= looks at one that runs already) with Debian's Chromium, prints the scores and keeps the full
reports beside the package. Exit 1 where a score is below FLOOR. ONLY=board takes some pages, RUNS=3 the median of three.
"""

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import sync_playwright

from bench.screenshots import CHROMIUM, ROOT, given, log_in, running

PLACE = ROOT / ".local" / "lighthouse"
PACKAGE = "lighthouse@13"
CATEGORIES = ("performance", "accessibility", "best-practices")
FLOOR = 95
PAGES = (
    ("board", "manager", "/quotas/board/dach-enterprise/"),
    ("catalog", "rep", "/catalog/"),
    ("deal form", "rep", "/quotas/deals/new/"),
)


def program() -> Path:
    """Lighthouse, fetched if it is not there. Raises SystemExit with what is missing."""
    found = PLACE / "node_modules" / ".bin" / "lighthouse"
    if not Path(CHROMIUM).exists():
        raise SystemExit(f"There is no Chromium at {CHROMIUM}: install Debian's, or set CHROMIUM.")
    npm = shutil.which("npm")
    if not shutil.which("node") or not npm:
        raise SystemExit("Lighthouse needs Node.js 20 or newer with npm (Debian: nodejs, npm).")
    if not found.exists():
        PLACE.mkdir(parents=True, exist_ok=True)
        print(f"Fetching {PACKAGE} from npm ...", file=sys.stderr)
        flags = ("--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
        fetched = subprocess.run([npm, "install", *flags, "--prefix", str(PLACE), PACKAGE], check=False)  # noqa: S603
        if fetched.returncode:
            raise SystemExit("npm could not fetch it; it says why above.")
    return found


@contextmanager
def browser(address: str, role: str) -> Iterator[int]:
    """The port of a Chromium in which this role is logged in: a header with the cookie would miss what scripts ask for."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    flags = ["--no-sandbox", "--disable-dev-shm-usage", f"--remote-debugging-port={port}"]
    with TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(profile, executable_path=CHROMIUM, args=flags)
        log_in(context.new_page(), address, role)
        yield port
        context.close()


def scores(lighthouse: Path, url: str, port: int, form: str, report: Path) -> dict[str, int]:
    """Each category's score of a hundred."""
    command = [
        *(str(lighthouse), url, "--quiet", "--output=json", f"--output-path={report}"),
        *(f"--only-categories={','.join(CATEGORIES)}", f"--port={port}", "--disable-storage-reset"),
        *(["--preset=desktop"] if form == "desktop" else []),
    ]
    done = subprocess.run(  # noqa: S603
        command,
        check=False,
        timeout=300,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"Lighthouse failed: {done.stderr.strip()[-600:]}")
    told: dict[str, Any] = json.loads(report.read_text())
    if told.get("runtimeError"):
        raise SystemExit(f"Lighthouse failed: {told['runtimeError']['message']}")
    if told["finalDisplayedUrl"] != url:
        raise SystemExit(f"{url} led to {told['finalDisplayedUrl']}.")
    return {name: round((told["categories"][name]["score"] or 0) * 100) for name in CATEGORIES}


def main() -> int:
    lighthouse = program()
    wanted, runs = given("ONLY"), int(os.environ.get("RUNS", "1"))
    low = False
    print(f"{'page':12} {'form':8} " + " ".join(f"{name:>15}" for name in CATEGORIES))
    with running() as address:
        for name, role, path in PAGES:
            if wanted and name not in wanted:
                continue
            with browser(address, role) as port:
                for form in ("mobile", "desktop"):
                    report = PLACE / f"{name.replace(' ', '-')}-{form}.json"
                    taken = [scores(lighthouse, address + path, port, form, report) for _ in range(runs)]
                    median = {
                        each: round(statistics.median(one[each] for one in taken)) for each in CATEGORIES
                    }
                    low = low or min(median.values()) < FLOOR
                    line = " ".join(f"{median[each]:15}" for each in CATEGORIES)
                    print(f"{name:12} {form:8} {line}", flush=True)
    return 1 if low else 0


if __name__ == "__main__":
    raise SystemExit(main())
