"""make screenshots: every page as the person who works on it sees it, light and dark, 1440, 768 and 390 px wide.

Starts a Parity of its own beside whatever runs (its data under .local/screenshots-demo is kept and used again), looks at
it with a headless Chromium, and stops it; the pictures are in .local/screenshots. ONLY=board,login takes some pages,
SIZE=phone one size, THEME=dark one theme; BASE_URL= looks at one that runs already. A page is asked for once and then
seen in every way; one that does not come is named at the end.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import django
from django.urls import Resolver404, resolve
from playwright.sync_api import Browser, Error, Page, sync_playwright

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.base")

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".local" / "screenshots"
DEMO = ROOT / ".local" / "screenshots-demo"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
SIZES = {"desktop": (1440, 900), "tablet": (768, 1024), "phone": (390, 844)}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SECONDS_TO_START = 240
MILLISECONDS_FOR_PARTS = 10_000

NOWHERE = "/no-such-page/"

# Where a page leads: its links, and its forms as they stand.
LINKS = """() => [
  ...[...document.querySelectorAll("main a[href]")].map(link => link.pathname + link.search),
  ...[...document.querySelectorAll("main form[method=get][action]")].map(
    form => new URL(form.action).pathname + "?" + new URLSearchParams(new FormData(form))),
]"""

# Name of the picture, who looks, and where: a path, or "NAME in PATH" for the first page of that URL name which the page
# at PATH links to. tests/ui/test_accessibility.py holds that every page is here.
PAGES: tuple[tuple[str, str, str], ...] = (
    ("login", "", "/accounts/login/"),
    ("home", "rep", "/"),
    ("home-manager", "manager", "/"),
    ("home-admin", "admin", "/"),
    ("home-catalog", "catalog", "/"),
    ("home-partner", "partner", "/"),
    ("home-sourcing", "sourcing", "/"),
    ("home-auditor", "auditor", "/"),
    ("home-director", "director", "/"),
    ("home-rep", "rep", "/"),
    ("board", "manager", "/quotas/board/"),
    ("board-rep", "rep", "/quotas/board/"),
    ("board-top", "admin", "/quotas/board/"),
    ("leaderboard", "rep", "/quotas/leaderboard/"),
    ("wall", "manager", "/quotas/leaderboard/wall/?rotate=1"),
    ("leaderboard-publishers", "manager", "/quotas/leaderboard/?group=publisher"),
    ("deals", "rep", "/quotas/deals/"),
    ("deal-new", "rep", "/quotas/deals/new/"),
    ("deal-renewal", "rep", "quotas:deal-new in quotas:account in /quotas/accounts/?renewing=yes"),
    ("preferences", "rep", "/accounts/preferences/"),
    ("deal", "manager", "quotas:deal in /quotas/deals/?state=approved"),
    ("deal-edit", "rep", "quotas:deal-edit in quotas:deal in /quotas/deals/?state=draft"),
    ("deal-amend", "rep", "quotas:deal-amend in quotas:deal in /quotas/deals/?state=approved"),
    ("credit", "manager", "quotas:credit-explanation in /quotas/board/"),
    ("approvals", "manager", "/quotas/approvals/"),
    ("approvals-second", "admin", "/quotas/approvals/?why=second"),
    ("approvals-chosen", "manager", "/quotas/approvals/?choose=all"),
    ("approvals-none", "manager", "/quotas/approvals/?least=999999999999"),
    ("delegations", "manager", "/quotas/delegations/"),
    ("delegations-admin", "admin", "/quotas/delegations/"),
    ("quotas-planning", "manager", "/quotas/planning/"),
    ("quotas-planning-top", "admin", "/quotas/planning/"),
    ("quotas-team", "manager", "/quotas/planning/dach-enterprise/"),
    ("quota-versions", "manager", "quotas:quota-versions in /quotas/planning/"),
    (
        "quotas-hand-down",
        "manager",
        "/quotas/planning/dach-enterprise/hand-down/?by=history&over=5&step=1000&reliefs=on",
    ),
    ("quota-reliefs", "manager", "/quotas/reliefs/?new=1"),
    ("plans", "admin", "/quotas/plans/"),
    ("plan-version", "admin", "/quotas/plans/fy27-field-plan/2/"),
    ("plan-new", "admin", "/quotas/plans/new/"),
    ("plan-version-new", "admin", "/quotas/plans/fy27-field-plan/new/"),
    ("plan-edit", "admin", "/quotas/plans/fy27-field-plan/2/edit/"),
    ("plan-rule", "admin", "quotas:plan-rule in /quotas/plans/fy27-field-plan/2/"),
    ("plan-rule-new", "admin", "/quotas/plans/fy27-field-plan/2/rules/new/"),
    ("plan-assignments", "admin", "/quotas/plans/fy27-field-plan/2/assignments/"),
    ("plan-try", "admin", "/quotas/plans/fy27-field-plan/2/try/"),
    ("plan-impact", "admin", "/quotas/plans/fy27-field-plan/2/impact/?by=rules"),
    ("plan-counter-proposal", "admin", "/quotas/plans/fy27-field-plan/3/"),
    ("whatif-quota", "manager", "/quotas/what-if/?what=quota"),
    (
        "whatif-account",
        "admin",
        "/quotas/what-if/?what=account&try=1&customer=Zerristead+Partners&rep=Mara+Ehrlinger&starts=2026-07-01",
    ),
    ("whatif-drafts", "admin", "/quotas/what-if/drafts/"),
    ("whatif-side-by-side", "admin", "quotas:whatif-side-by-side in /quotas/what-if/drafts/"),
    ("gap", "rep", "/quotas/gap/"),
    ("statements", "admin", "/quotas/statements/"),
    ("statement", "rep", "quotas:statement in /quotas/statements/"),
    ("statement-pack", "admin", "quotas:statement-pack in /quotas/statements/"),
    ("plan-document", "rep", "/quotas/plans/fy27-field-plan/1/document/"),
    ("parity", "admin", "/quotas/parity/"),
    ("recredits", "admin", "/quotas/recredits/"),
    ("recredit-new", "admin", "/quotas/recredits/new/"),
    ("recredit", "admin", "quotas:recredit in /quotas/recredits/"),
    ("ledger", "auditor", "/quotas/ledger/"),
    ("disputes", "manager", "/quotas/disputes/"),
    ("dispute", "rep", "quotas:dispute in /quotas/disputes/?show=answered"),
    ("dispute-answer", "director", "quotas:dispute in /quotas/disputes/"),
    ("dispute-new", "rep", "/quotas/disputes/new/"),
    ("adjustments", "checker", "/quotas/adjustments/"),
    ("adjustment", "auditor", "quotas:adjustment in /quotas/adjustments/?state=posted"),
    ("adjustment-new", "admin", "/quotas/adjustments/new/"),
    ("moved", "rep", "/quotas/discrepancies/"),
    ("moved-all", "admin", "/quotas/discrepancies/"),
    ("data-out", "auditor", "/quotas/exports/"),
    ("changes", "admin", "/quotas/facts/"),
    ("change-rate", "admin", "/quotas/facts/rate/"),
    ("change-move", "admin", "/quotas/facts/move/"),
    ("accounts", "admin", "/quotas/accounts/"),
    ("account", "admin", "quotas:account in /quotas/accounts/"),
    ("usage", "admin", "/quotas/usage/"),
    ("data-in", "admin", "/quotas/imports/"),
    ("sales-import", "admin", "quotas:import in /quotas/reconciliation/"),
    ("reconciliation", "admin", "/quotas/reconciliation/"),
    ("reconciliation-differences", "admin", "/quotas/reconciliation/?reason=all"),
    ("periods", "admin", "/quotas/periods/"),
    ("period-checklist", "admin", "/quotas/periods/FY26-M12/"),
    ("period-closed", "auditor", "/quotas/periods/FY26-M11/"),
    ("policies", "checker", "/quotas/policies/"),
    ("earnings-own", "rep", "/quotas/earnings/"),
    ("earning", "rep", "quotas:earning in /quotas/earnings/"),
    ("earnings-of", "admin", "quotas:earnings-of in /quotas/draws/?set="),
    ("earnings", "admin", "/quotas/earnings/"),
    ("earnings-payments", "admin", "/quotas/earnings/payments/"),
    ("earnings-accrual", "auditor", "/quotas/earnings/accrual/"),
    ("draws", "admin", "/quotas/draws/?set="),
    ("plan-components", "admin", "/quotas/plans/fy27-field-plan/2/components/"),
    ("policy-draft", "admin", "/quotas/policies/?draft=CRM+imports"),
    ("audit", "admin", "/accounts/audit/"),
    ("audit-desk", "auditor", "/quotas/audit/"),
    ("audit-pack", "auditor", "quotas:audit-pack in /quotas/audit/"),
    ("duties", "auditor", "/quotas/duties/"),
    ("board-restated", "admin", "/quotas/board/?view=restated&period=FY27-M01"),
    ("board-closed", "admin", "/quotas/board/?view=closed&period=FY26-M11"),
    ("leaderboard-as-of", "admin", "/quotas/leaderboard/?as_of=2026-08-01"),
    ("notifications", "manager", "/accounts/notifications/"),
    ("catalog", "catalog", "/catalog/"),
    ("catalog-found", "rep", "/catalog/?task=coding&eligible=quota&ordering=evidence&min_context=100000"),
    ("catalog-misspelt", "rep", "/catalog/?search=cluade+sonet"),
    ("catalog-nothing", "rep", "/catalog/?search=holography+gpt"),
    ("catalog-past", "catalog", "/catalog/?publisher=anthropic,openai&as_of=2025-06-01"),
    ("compare", "rep", "/catalog/compare/?offerings=claude-sonnet-4-5,gpt-5,gpt-4-1,microsoft-365-copilot"),
    (
        "compare-differences",
        "rep",
        "/catalog/compare/?offerings=claude-sonnet-4-5,claude-haiku-4-5&only=differences",
    ),
    ("requests", "catalog", "/catalog/requests/"),
    ("requests-own", "rep", "/catalog/requests/"),
    ("offering", "catalog", "marketplace:offering in /catalog/?publisher=anthropic"),
    ("prices", "rep", "/catalog/phi-4/prices/"),
    ("calculator", "rep", "/catalog/calculator/"),
    (
        "calculator-chosen",
        "rep",
        "/catalog/calculator/?offerings=gpt-4-1,claude-opus-4-5&input_tokens=500M&output_tokens=80M",
    ),
    ("private-offers", "catalog", "/catalog/private-offers/"),
    ("private-offer", "catalog", "marketplace:private-offer in /catalog/private-offers/?state=sent"),
    (
        "private-offer-edit",
        "catalog",
        "marketplace:private-offer-edit in marketplace:private-offer in /catalog/private-offers/?state=draft",
    ),
    ("private-offer-plan", "catalog", "/catalog/private-offers/new/"),
    ("private-offer-form", "catalog", "/catalog/private-offers/new/gpt-4-1/global-standard/"),
    ("publisher", "partner", "/catalog/publishers/anthropic/"),
    ("imports", "catalog", "/catalog/imports/"),
    ("import", "catalog", "/catalog/imports/1/"),
    ("import-refused", "catalog", "/catalog/imports/1/?outcome=left_out"),
    ("discrepancies", "catalog", "/catalog/imports/discrepancies/"),
    ("recommend", "rep", "/recommend/?task=coding"),
    ("tasks", "rep", "/tasks/"),
    ("task", "catalog", "/tasks/coding/"),
    ("equal-footing", "admin", "/equal-footing/"),
    ("scorecard", "partner", "/catalog/publishers/anthropic/scorecard/"),
    ("console", "partner", "/publisher/"),
    ("console-team", "partner", "/publisher/team/"),
    ("console-upload", "partner", "/publisher/upload/"),
    ("console-offering", "partner", "/publisher/offerings/claude-opus-4-1/"),
    ("console-new", "partner", "/publisher/change/offering.create/"),
    ("console-price", "partner", "/publisher/change/price.add/?offering=claude-opus-4-1&plan=standard"),
    ("console-set", "partner", "marketplace:console-set in /publisher/"),
    ("console-keys", "partner", "/publisher/keys/"),
    ("console-developers", "partner", "/publisher/developers/"),
    ("console-seen-as", "catalog", "/publisher/?as=anthropic"),
    ("whats-new", "catalog", "/catalog/changes/"),
    ("webhooks", "partner", "/publisher/webhooks/"),
    ("webhook", "partner", "marketplace:webhook in /publisher/webhooks/"),
    ("webhook-new", "partner", "/publisher/webhooks/new/"),
    (
        "webhook-delivery",
        "partner",
        "marketplace:webhook-delivery in marketplace:webhook in /publisher/webhooks/",
    ),
    ("products", "sourcing", "/sourcing/products/"),
    ("product", "sourcing", "/sourcing/products/github-copilot/"),
    ("product-new", "sourcing", "/sourcing/products/new/"),
    ("product-change", "sourcing", "/sourcing/products/github-copilot/change/"),
    ("product-end", "sourcing", "/sourcing/products/github-copilot/end/"),
    ("feature-new", "sourcing", "/sourcing/products/github-copilot/features/new/"),
    ("feature", "engineer", "/sourcing/features/copilot-chat/"),
    ("feature-change", "sourcing", "/sourcing/features/copilot-chat/change/"),
    ("feature-end", "sourcing", "/sourcing/features/copilot-chat/end/"),
    ("companies", "sourcing", "/sourcing/companies/"),
    ("company", "sourcing", "/sourcing/companies/anthropic/"),
    ("company-new", "sourcing", "/sourcing/companies/new/"),
    ("company-risk", "sourcing", "/sourcing/companies/anthropic/risk/"),
    ("company-agreement", "sourcing", "/sourcing/companies/openai/agreement/"),
    ("commitments", "sourcing", "/sourcing/commitments/"),
    ("flows", "sourcing", "/sourcing/flows/"),
    ("relationship", "sourcing", "marketplace:relationship in /sourcing/commitments/"),
    (
        "relationship-correct",
        "sourcing",
        "marketplace:relationship-correct in marketplace:relationship in /sourcing/companies/anthropic/",
    ),
    ("relationship-new", "sourcing", "/sourcing/relationships/new/"),
    ("spend", "sourcing", "/sourcing/spend/"),
    ("spend-plans", "sourcing", "/sourcing/plans/"),
    ("spend-plan-new", "sourcing", "/sourcing/plans/new/"),
    ("spend-models", "auditor", "/sourcing/spend/?by=model&from=2025-07&to=2026-06"),
    ("spend-lines", "sourcing", "/sourcing/usage/?supplier=anthropic&from=2026-07&to=2026-07"),
    ("usage-import", "sourcing", "/sourcing/usage/import/"),
    ("feature-mix", "sourcing", "/sourcing/features/m365-slides/mix/"),
    ("sourcing", "sourcing", "/sourcing/"),
    ("brief", "sourcing", "/sourcing/brief/"),
    ("concentration", "sourcing", "/sourcing/concentration/"),
    ("concentration-features", "auditor", "/sourcing/concentration/?by=features&months=36"),
    ("concentration-accounts", "sourcing", "/sourcing/concentration/accounts/"),
    ("substitutions", "sourcing", "/sourcing/substitutions/"),
    ("substitution", "buyer", "marketplace:substitution in /sourcing/substitutions/?state=proposed"),
    ("substitution-features", "auditor", "/sourcing/substitutions/features/"),
    ("substitution-feature", "sourcing", "/sourcing/substitutions/features/security-scripts/"),
    ("leverage", "sourcing", "/sourcing/leverage/?supplier=anthropic"),
    ("drill", "sourcing", "/sourcing/drill/anthropic/"),
    ("scenarios", "sourcing", "/sourcing/scenarios/"),
    ("scenario", "sourcing", "/sourcing/scenarios/1/"),
    ("scenario-change", "sourcing", "/sourcing/scenarios/1/change/"),
    ("scenario-end", "auditor", "/sourcing/scenarios/3/"),
    ("scenario-decide", "buyer", "/sourcing/scenarios/4/"),
    ("scenario-new", "sourcing", "/sourcing/scenarios/new/"),
    ("scenarios-compared", "sourcing", "/sourcing/scenarios/compare/?ids=1&ids=2&ids=3"),
    ("facts", "sourcing", "/sourcing/facts/"),
    ("change-sets", "reviewer", "/catalog/change-sets/?tab=waiting"),
    ("change-set", "reviewer", "marketplace:change-set in /catalog/change-sets/?tab=waiting"),
    ("change-set-handed-back", "partner", "marketplace:change-set in /catalog/change-sets/?tab=open"),
    ("change-set-applied", "auditor", "marketplace:change-set in /catalog/change-sets/?tab=closed"),
    ("spreadsheet-upload", "catalog", "/catalog/spreadsheet/upload/"),
    ("policy", "rep", "/catalog/policy/"),
    ("decisions", "reviewer", "/catalog/decisions/?state=in_force"),
    ("decision-proposed", "reviewer", "marketplace:decision in /catalog/decisions/?state=proposed"),
    ("decision-new", "catalog", "/catalog/decisions/new/"),
    ("retire", "catalog", "/catalog/claude-sonnet-4-5/retire/"),
    ("sale", "catalog", "/catalog/claude-sonnet-4-5/sale/"),
    ("judge", "engineer", "/judging/"),
    ("vote", "engineer", "/judging/advanced-coding/vote/"),
    ("suite", "sourcing", "/judging/reasoning-cases/"),
    ("run-new", "engineer", "/judging/repository-repairs/runs/new/"),
    ("task-matrix", "sourcing", "/judging/matrix/"),
    ("styleguide", "admin", "/styleguide/"),
    ("reference", "admin", "/api/docs/"),
    ("not-found", "rep", NOWHERE),
)


@contextmanager
def running() -> Iterator[str]:
    """The address of a Parity to look at."""
    if given := os.environ.get("BASE_URL"):
        yield given.rstrip("/")
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "PARITY_LOCAL_DIR": str(DEMO), "PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "config.supervisor"], cwd=ROOT, env=environment, start_new_session=True
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + SECONDS_TO_START
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("Parity did not start; make run says why.")
            time.sleep(0.5)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(16).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def visit(browser: Browser, address: str, wanted: set[str]) -> Iterator[tuple[str, Page | None]]:
    """Each page by its name, open before the person who works on it until the next is asked for; None if it does not come."""
    seats: dict[str, Page] = {}
    for name, role, where in PAGES:
        if wanted and name not in wanted:
            continue
        if role not in seats:
            context = browser.new_context(color_scheme="light", reduced_motion="reduce")
            seats[role] = context.new_page()
            if role:
                log_in(seats[role], address, role)
        page = seats[role]
        width, height = SIZES["desktop"]
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="light")
        try:
            find(page, address, where)
        except (Error, LookupError) as problem:
            print(f"{name}: {problem}".splitlines()[0], file=sys.stderr)
            yield name, None
        else:
            with suppress(Error):  # parts that ask for themselves
                page.wait_for_load_state("networkidle", timeout=MILLISECONDS_FOR_PARTS)
            yield name, page
    for page in seats.values():
        page.context.close()


def find(page: Page, address: str, where: str) -> None:
    """Goes there, link by link. Raises LookupError when a page does not link to the next, or is not there."""
    *names, path = where.split(" in ")
    response = page.goto(address + path)
    for name in reversed(names):
        links = page.evaluate(LINKS)
        for link in links:
            with suppress(Resolver404):
                if resolve(urlsplit(link).path).view_name == name:
                    response = page.goto(address + link)
                    break
        else:
            raise LookupError(f"{urlsplit(page.url).path} links to no {name}")
    if response is None or not (response.ok or path == NOWHERE):
        raise LookupError(f"{page.url} is not there for this person")


def take(browser: Browser, address: str) -> tuple[int, list[str]]:
    """Every page in every theme and size: how many pictures were taken, and the pages that did not come."""
    taken, missed = 0, []
    sizes, themes = given("SIZE") or set(SIZES), given("THEME") or set(THEMES)
    for name, page in visit(browser, address, given("ONLY")):
        if page is None:
            missed.append(name)
            continue
        for size, (width, height) in SIZES.items():
            if size not in sizes:
                continue
            page.set_viewport_size({"width": width, "height": height})
            for theme in THEMES:
                if theme not in themes:
                    continue
                page.emulate_media(color_scheme=theme)
                page.screenshot(path=PLACE / f"{name}-{theme}-{size}.png", full_page=True)
                taken += 1
    return taken, missed


def given(name: str) -> set[str]:
    """What an environment variable names, with commas between."""
    return {part for part in os.environ.get(name, "").split(",") if part}


def log_in(page: Page, address: str, role: str) -> None:
    page.goto(f"{address}/accounts/login/")
    page.locator("input[name=username]:visible").fill(f"{role}@demo.example")
    page.locator("input[name=password]:visible").fill("demo")
    page.locator("input[name=password]:visible").press("Enter")
    page.wait_for_url(lambda url: "/login/" not in url)


def main() -> int:
    if not Path(CHROMIUM).exists():
        print(f"There is no Chromium at {CHROMIUM}: install Debian's, or set CHROMIUM.", file=sys.stderr)
        return 1
    PLACE.mkdir(parents=True, exist_ok=True)
    django.setup()
    with running() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        taken, missed = take(browser, address)
        browser.close()
    print(f"{taken} pictures in {PLACE.relative_to(ROOT)}")
    if missed:
        print(f"These pages did not come: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
