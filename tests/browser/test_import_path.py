"""A CRM's export is uploaded, its questions answered, checked, imported, and the credit is on the board: in a real browser."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from accounts.models import Role
from config import jobs
from quotas.models import CreditEntry, Deal, SalesImport, StraightThroughPolicy
from tests import make
from tests.accessibility import accessible

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world() -> make.World:
    built = make.world()
    StraightThroughPolicy.objects.create(
        name="CRM imports",
        version=1,
        sources=["salesforce"],
        drafted_by=built.admin,
        drafted_at=make.AT,
        published_by=make.user(role=Role.COMP_ADMIN),
        published_at=make.AT,
    )
    return built


@pytest.fixture
def export(world: make.World, tmp_path: Path) -> Path:
    """As Windows writes it: Windows-1252, semicolons, a decimal comma, days that can be read both ways."""
    file = tmp_path / "Opportunities – July.csv"
    head = (
        "Opportunity ID;Opportunity Name;Account Name;Opportunity Owner;Stage;Close Date;Amount;Product Name"
    )
    rows = (
        f"006A;Erste für Ana;{world.customer.name};Ana;Closed Won;03/08/2026;1.000,00;House model",
        f"006B;Zweite;{world.customer.name};Ana;Closed Won;04/08/2026;2.500,50;Third-party model",
        f"006C;Dritte;{world.customer.name};Bo;Quite lost;05/08/2026;9.000,00;House model",
        f"006D;Vierte;{world.customer.name};Nobody;Closed Won;06/08/2026;4.000,00;House model",
    )
    file.write_bytes("\r\n".join((head, *rows, "")).encode("cp1252"))
    return file


def work_off() -> None:
    jobs.work_off(job_id=SalesImport.objects.get().job_id or 0, now=lambda: make.AT)


def test_an_export_is_credited_with_no_documentation_but_the_page(
    page: "Page",
    world: make.World,
    export: Path,
    sign_in: Callable[[Any], None],
    expected_complaints: list[str],
) -> None:
    expected_complaints.append("status of 422")  # the check with open questions below
    sign_in(world.admin)
    page.goto(reverse("quotas:imports"))
    page.set_input_files("#id_file", str(export))
    page.click("text=Upload and look at it")
    page.wait_for_selector("text=This looks like an export of Salesforce")

    # A column that is let go of asks at once for what it would have said.
    assert page.locator("#id_k_offering[list]").count() == 0
    page.select_option("#id_c7", "")
    page.wait_for_selector("#id_k_offering[list]")
    page.select_option("#id_c7", "offering")
    page.wait_for_selector("#id_k_offering[list]", state="detached")

    page.click("button:has-text('Check the file')")
    page.wait_for_selector("text=Something is missing below")
    page.check("text=03/08/2026 is 3 August 2026")
    page.select_option("select:near(:text('Quite lost'))", "cancelled")
    page.fill("#id_k_currency", "USD")
    page.select_option("#id_policy", "CRM imports")
    page.click("button:has-text('Check the file')")
    page.wait_for_selector("text=Checking every row")
    work_off()
    page.wait_for_selector("text=Rows as deals")
    assert "1 of 4 rows would be refused" in page.inner_text("main")
    assert "$3,500.50" in page.inner_text("main")
    assert not Deal.objects.exists()
    accessible(page)
    page.click("text=Import it")
    page.wait_for_selector("h2:has-text('Importing')")
    work_off()
    page.wait_for_selector("text=The file was imported.")
    assert sum(CreditEntry.objects.values_list("amount_minor", flat=True)) == 3_500_50
    with page.expect_download() as report:
        page.click("text=Error report")
    text = report.value.path().read_text(encoding="utf-8-sig")
    assert "Nobody" in text
    assert text.splitlines()[1].startswith("5,Refused,")
    page.click("main a:has-text('Quota board')")
    page.wait_for_url("**/quotas/board/**")
    assert "$3,500.50" in page.content()
    page.goto(reverse("quotas:imports"))
    assert "2 new, 1 left out, 1 refused" in page.inner_text("main")
