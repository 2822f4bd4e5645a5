"""python -m bench.worker: carry out one recredit job as a worker does, and say how much memory the process had before and at most, in MB."""

import os
import resource
from datetime import UTC, date, datetime


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.test")
    import django

    django.setup()
    from django.db import connection

    from config import jobs
    from quotas.services import recredit

    connection.ensure_connection()
    before = megabytes()
    at = datetime(2026, 8, 14, 19, tzinfo=UTC)
    job = recredit.start_run(
        starts=date(2026, 7, 1),
        ends=date(2027, 7, 1),
        cause=recredit.Cause.MANUAL,
        what="Everything again",
        reason="Measured",
        by=None,
        at=at,
    )
    done = jobs.work_off(job_id=job.pk, now=lambda: at)
    if done.state != "done":
        raise RuntimeError(f"The run ended as {done.state}: {done.error}")
    print(before, megabytes())


if __name__ == "__main__":
    main()
