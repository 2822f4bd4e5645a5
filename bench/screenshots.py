"""make screenshots: every page as the person who works on it sees it, light and dark, 1440 and 390 px wide, into .local/screenshots.

Starts a Parity of its own beside whatever runs (its data under .local/screenshots-demo is kept and used again), looks at
it with a headless Chromium, and stops it. ONLY=board,login takes some pages; BASE_URL= looks at one that runs already.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".local" / "screenshots"
DEMO = ROOT / ".local" / "screenshots-demo"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
SIZES = {"desktop": (1440, 900), "phone": (390, 844)}
SECONDS_TO_START = 240

# Name of the picture, who looks, and where; "first:SELECTOR" follows the first such link of the page before it.
PAGES: tuple[tuple[str, str, str], ...] = (
    ("login", "", "/accounts/login/"),
    ("board", "manager", "/quotas/board/"),
    ("board-rep", "rep", "/quotas/board/"),
    ("board-top", "admin", "/quotas/board/"),
    ("leaderboard", "rep", "/quotas/leaderboard/"),
    ("wall", "manager", "/quotas/leaderboard/wall/?rotate=1"),
    ("leaderboard-publishers", "manager", "/quotas/leaderboard/?group=publisher"),
    ("deals", "rep", "/quotas/deals/"),
    ("deal-new", "rep", "/quotas/deals/new/"),
    ("deal", "manager", "first:/quotas/deals/?state=approved"),
    ("approvals", "manager", "/quotas/approvals/"),
    ("approvals-second", "admin", "/quotas/approvals/?why=second"),
    ("delegations", "manager", "/quotas/delegations/"),
    ("delegations-admin", "admin", "/quotas/delegations/"),
    ("quotas-planning", "manager", "/quotas/planning/"),
    ("quotas-planning-top", "admin", "/quotas/planning/"),
    (
        "quotas-hand-down",
        "manager",
        "/quotas/planning/dach-enterprise/hand-down/?by=history&over=5&step=1000&reliefs=on",
    ),
    ("quota-reliefs", "manager", "/quotas/reliefs/?new=1"),
    ("plans", "admin", "/quotas/plans/"),
    ("plan-version", "admin", "/quotas/plans/fy27-field-plan/2/"),
    ("plan-impact", "admin", "/quotas/plans/fy27-field-plan/2/impact/?by=rules"),
    ("whatif-quota", "manager", "/quotas/what-if/?what=quota"),
    (
        "whatif-account",
        "admin",
        "/quotas/what-if/?what=account&try=1&customer=Zerristead+Partners&rep=Mara+Ehrlinger&starts=2026-07-01",
    ),
    ("whatif-drafts", "admin", "/quotas/what-if/drafts/"),
    ("gap", "rep", "/quotas/gap/"),
    ("statements", "admin", "/quotas/statements/"),
    ("statement", "rep", "first:/quotas/statements/"),
    ("plan-document", "rep", "/quotas/plans/fy27-field-plan/1/document/"),
    ("parity", "admin", "/quotas/parity/"),
    ("recredits", "admin", "/quotas/recredits/"),
    ("ledger", "auditor", "/quotas/ledger/"),
    ("disputes", "manager", "/quotas/disputes/"),
    ("dispute", "rep", "first:/quotas/disputes/?show=answered"),
    ("dispute-answer", "director", "first:/quotas/disputes/"),
    ("dispute-new", "rep", "/quotas/disputes/new/"),
    ("adjustments", "checker", "/quotas/adjustments/"),
    ("adjustment", "auditor", "first:/quotas/adjustments/?state=posted"),
    ("adjustment-new", "admin", "/quotas/adjustments/new/"),
    ("moved", "rep", "/quotas/discrepancies/"),
    ("moved-all", "admin", "/quotas/discrepancies/"),
    ("data-out", "auditor", "/quotas/exports/"),
    ("changes", "admin", "/quotas/facts/"),
    ("accounts", "admin", "/quotas/accounts/"),
    ("usage", "admin", "/quotas/usage/"),
    ("data-in", "admin", "/quotas/imports/"),
    ("reconciliation", "admin", "/quotas/reconciliation/"),
    ("reconciliation-differences", "admin", "/quotas/reconciliation/?reason=all"),
    ("periods", "admin", "/quotas/periods/"),
    ("period-checklist", "admin", "/quotas/periods/FY26-M12/"),
    ("period-closed", "auditor", "/quotas/periods/FY26-M11/"),
    ("policies", "checker", "/quotas/policies/"),
    ("earnings-own", "rep", "/quotas/earnings/"),
    ("earnings", "admin", "/quotas/earnings/"),
    ("earnings-payments", "admin", "/quotas/earnings/payments/"),
    ("earnings-accrual", "auditor", "/quotas/earnings/accrual/"),
    ("draws", "admin", "/quotas/draws/?set="),
    ("plan-components", "admin", "/quotas/plans/fy27-field-plan/2/components/"),
    ("policy-draft", "admin", "/quotas/policies/?draft=CRM+imports"),
    ("audit", "admin", "/accounts/audit/"),
    ("audit-desk", "auditor", "/quotas/audit/"),
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
    ("offering", "catalog", "first:/catalog/?publisher=anthropic"),
    ("prices", "rep", "/catalog/phi-4/prices/"),
    ("calculator", "rep", "/catalog/calculator/"),
    (
        "calculator-chosen",
        "rep",
        "/catalog/calculator/?offerings=gpt-4-1,claude-opus-4-5&input_tokens=500M&output_tokens=80M",
    ),
    ("private-offers", "catalog", "/catalog/private-offers/"),
    ("private-offer", "catalog", "first:/catalog/private-offers/?state=sent"),
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
    ("console-offering", "partner", "/publisher/offerings/claude-opus-4-1/"),
    ("console-new", "partner", "/publisher/change/offering.create/"),
    ("console-price", "partner", "/publisher/change/price.add/?offering=claude-opus-4-1&plan=standard"),
    ("console-set", "partner", "first:/publisher/"),
    ("console-keys", "partner", "/publisher/keys/"),
    ("console-developers", "partner", "/publisher/developers/"),
    ("console-seen-as", "catalog", "/publisher/?as=anthropic"),
    ("whats-new", "catalog", "/catalog/changes/"),
    ("webhooks", "partner", "/publisher/webhooks/"),
    ("webhook", "partner", "first:/publisher/webhooks/"),
    ("products", "sourcing", "/sourcing/products/"),
    ("product", "sourcing", "/sourcing/products/github-copilot/"),
    ("feature", "engineer", "/sourcing/features/copilot-chat/"),
    ("companies", "sourcing", "/sourcing/companies/"),
    ("company", "sourcing", "/sourcing/companies/anthropic/"),
    ("company-agreement", "sourcing", "/sourcing/companies/openai/agreement/"),
    ("commitments", "sourcing", "/sourcing/commitments/"),
    ("flows", "sourcing", "/sourcing/flows/"),
    ("relationship", "sourcing", "first:/sourcing/commitments/"),
    ("spend", "sourcing", "/sourcing/spend/"),
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
    ("substitution", "buyer", "first:/sourcing/substitutions/?state=proposed"),
    ("substitution-features", "auditor", "/sourcing/substitutions/features/"),
    ("substitution-feature", "sourcing", "/sourcing/substitutions/features/security-scripts/"),
    ("leverage", "sourcing", "/sourcing/leverage/?supplier=anthropic"),
    ("drill", "sourcing", "/sourcing/drill/anthropic/"),
    ("scenarios", "sourcing", "/sourcing/scenarios/"),
    ("scenario", "sourcing", "/sourcing/scenarios/1/"),
    ("scenario-end", "auditor", "/sourcing/scenarios/3/"),
    ("scenario-decide", "buyer", "/sourcing/scenarios/4/"),
    ("scenario-new", "sourcing", "/sourcing/scenarios/new/"),
    ("scenarios-compared", "sourcing", "/sourcing/scenarios/compare/?ids=1&ids=2&ids=3"),
    ("facts", "sourcing", "/sourcing/facts/"),
    ("change-sets", "reviewer", "/catalog/change-sets/?tab=waiting"),
    ("change-set", "reviewer", "first:/catalog/change-sets/?tab=waiting"),
    ("change-set-handed-back", "partner", "first:/catalog/change-sets/?tab=open"),
    ("change-set-applied", "auditor", "first:/catalog/change-sets/?tab=closed"),
    ("spreadsheet-upload", "catalog", "/catalog/spreadsheet/upload/"),
    ("policy", "rep", "/catalog/policy/"),
    ("decisions", "reviewer", "/catalog/decisions/?state=in_force"),
    ("decision-proposed", "reviewer", "first:/catalog/decisions/?state=proposed"),
    ("decision-new", "catalog", "/catalog/decisions/new/"),
    ("retire", "catalog", "/catalog/claude-sonnet-4-5/retire/"),
    ("sale", "catalog", "/catalog/claude-sonnet-4-5/sale/"),
    ("judge", "engineer", "/judging/"),
    ("vote", "engineer", "/judging/advanced-coding/vote/"),
    ("suite", "sourcing", "/judging/reasoning-cases/"),
    ("run-new", "engineer", "/judging/repository-repairs/runs/new/"),
    ("task-matrix", "sourcing", "/judging/matrix/"),
    ("styleguide", "admin", "/styleguide/"),
    ("not-found", "rep", "/no-such-page/"),
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


def take(browser: Browser, address: str, wanted: set[str]) -> int:
    """Every page in every theme and size; returns how many pictures were taken."""
    taken = 0
    for theme in ("light", "dark"):
        for size, (width, height) in SIZES.items():
            pages: dict[str, Page] = {}
            for name, role, where in PAGES:
                if wanted and name not in wanted:
                    continue
                if role not in pages:
                    context = browser.new_context(
                        viewport={"width": width, "height": height},
                        color_scheme=theme,
                        reduced_motion="reduce",
                    )
                    pages[role] = context.new_page()
                    if role:
                        _log_in(pages[role], address, role)
                page = pages[role]
                path = where.removeprefix("first:")
                page.goto(address + path)
                if where.startswith("first:"):
                    link = page.locator("main tbody a[href], main article a[href]").first
                    page.goto(address + str(link.get_attribute("href")))
                page.screenshot(path=PLACE / f"{name}-{theme}-{size}.png", full_page=True)
                taken += 1
            for page in pages.values():
                page.context.close()
    return taken


def _log_in(page: Page, address: str, role: str) -> None:
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
    wanted = {name for name in os.environ.get("ONLY", "").split(",") if name}
    with running() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        print(f"{take(browser, address, wanted)} pictures in {PLACE.relative_to(ROOT)}")
        browser.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
