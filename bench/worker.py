"""python -m bench.worker: carry out one recredit job as a worker does, and say how much memory the process had before and at most, in MB."""

import os
import re
from datetime import UTC, date, datetime
from pathlib import Path


def megabytes() -> float:
    """The peak of this process. Linux only; what getrusage says includes whoever started it."""
    told = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if told is None:
        raise RuntimeError("This system does not tell the peak memory of a process in /proc/self/status.")
    return int(told[1]) / 1024


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
