"""The demo's import: the genai-prices package as it is installed, staged; a few of its rows proposed, one disagreement decided."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from accounts.models import User
from config import jobs
from config.clock import day_of
from marketplace.models import Discrepancy, ImportSource, StagedRow
from marketplace.services import importing

PROPOSED: Final = "cerebras"


def stage(*, people: Mapping[str, User], at: datetime) -> dict[str, int]:
    """Read here and now, so that the queue has something to show from the first look on. Some 2,300 rows, about two seconds."""
    by = people["catalog"]
    run = importing.start_import(
        source=ImportSource.GENAI_PRICES, content=None, file_name="", stated_on=day_of(at), by=by, at=at
    )
    jobs.work_off(job_id=run.job_id or 0, now=lambda: at)
    made = {
        "staged rows": StagedRow.objects.filter(run=run).count(),
        "disagreements between sources": Discrepancy.objects.filter(found_in=run).count(),
    }
    if importing.proposable(run).filter(provider=PROPOSED).exists():
        importing.propose(run_id=run.pk, filter={"provider": PROPOSED}, by=by, at=at)
    first = (
        Discrepancy.objects.filter(found_in=run, field="context_window", theirs="131,072")
        .order_by("pk")
        .first()
    )
    if first is not None:
        importing.decide_discrepancy(
            discrepancy_id=first.pk,
            take=False,
            reason="Both mean the same limit: the source counts in powers of two.",
            by=by,
            at=at,
        )
    return made
