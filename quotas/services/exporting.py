"""Every list of the organisation as a file in a directory: by hand, and every night.

A night's files carry its date. Each is written under another name and renamed when it is whole, and the manifest comes last:
who takes the files waits for it, and finds in it how many rows each has and its SHA-256. All of a night is read in one
transaction that sees one state of the database, so that deals and ledger agree.

The ledger only grows, so that a night writes what was posted since the night before: put one after another, the nights are
the ledger. Everything else is written whole.
"""

import fcntl
import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from io import BufferedRandom
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.conf import settings

from config.clock import day_of, first_moment
from config.exports import Export, Format, Table, write
from config.language import marked
from config.refusals import Invalid, Problem
from config.snapshot import one_state
from marketplace.models import CatalogChange, EligibilityDecision, Offering, PriceVersion, PrivateOffer
from marketplace.selectors import exports as catalog
from marketplace.selectors.decisions import WITH
from quotas.models import (
    AccountOwnership,
    CreditEntry,
    Deal,
    DealKind,
    DealState,
    FxRate,
    Grain,
    Period,
    Quota,
    TeamMembership,
)
from quotas.selectors import exports, periods
from quotas.selectors.ledger import last_entry
from quotas.selectors.recredits import runs
from quotas.selectors.rules import versions_for

log = logging.getLogger(__name__)

Since = tuple[datetime | None, datetime] | None


@dataclass(frozen=True)
class Dataset:
    """A list of the whole organisation.

    table     At an instant; of the ledger what was posted in [since, until), all of it without.
    catalog   Belongs to the catalog, whose own pages hand it out.
    """

    slug: str
    title: str
    about: str
    table: Callable[[datetime, Since], Table]
    catalog: bool = False


@dataclass(frozen=True)
class Written:
    """One file of a manifest."""

    name: str
    dataset: str
    title: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What was written. ledger_from, ledger_until: which postings the file of the ledger holds; from nothing is from the first."""

    date: date
    as_of: datetime
    files: Sequence[Written]
    ledger_from: datetime | None = None
    ledger_until: datetime | None = None


# --- what there is ----------------------------------------------------------------------------------------


def _deals(at: datetime, _since: Since) -> Table:
    return exports.deals(Deal.objects.all(), entries=CreditEntry.objects.all(), publisher=None)


def _ledger(at: datetime, since: Since) -> Table:
    months = list(Period.objects.filter(grain=Grain.MONTH).values_list("pk", flat=True))
    found = CreditEntry.objects.filter(posting_period__in=months)
    if since is not None:
        first, until = since
        found = found.filter(posting__recorded_at__lt=until)
        if first is not None:
            found = found.filter(posting__recorded_at__gte=first)
    return exports.ledger(found, until=last_entry(found))


def _attainment(at: datetime, _since: Since) -> Table:
    period = periods.current_period(day_of(at))
    return exports.attainment(period, at)


def _usage(at: datetime, _since: Since) -> Table:
    found = Deal.objects.filter(state=DealState.APPROVED, credited_version__kind=DealKind.CONSUMPTION)
    return exports.usage(
        found.select_related("customer", "latest_version", "credited_version__currency").prefetch_related(
            "credited_version__lines__offering"
        )
    )


def _offers(at: datetime, _since: Since) -> Table:
    found = PrivateOffer.objects.select_related(
        "plan__offering__publisher", "customer", "price__currency", "price__plan"
    ).prefetch_related("price__rows")
    return catalog.private_offers(found, customers=True)


DATASETS: Final = (
    Dataset(
        "deals",
        marked("Deals"),
        marked("Every deal with its value, its shares and its net credit by measure."),
        _deals,
    ),
    Dataset(
        "ledger",
        marked("Ledger"),
        marked("Every entry with its rule, its posting and what it reverses."),
        _ledger,
    ),
    Dataset(
        "attainment",
        marked("Attainment"),
        marked("Credited, quota and rank of every rep in the present quarter."),
        _attainment,
    ),
    Dataset(
        *("quotas", "Quotas", "Every quota in force, under the names by which a file of quotas is read in."),
        lambda at, _since: exports.quotas(Quota.objects.filter(superseded_at=None)),
    ),
    Dataset(
        *("people", "People", "Every rep's teams and roles by date."),
        lambda at, _since: exports.people(TeamMembership.objects.filter(superseded_at=None)),
    ),
    Dataset(
        *("territories", "Territories", "Who covers them and which customers lie in them, from today on."),
        lambda at, _since: exports.territories(day_of(at)),
    ),
    Dataset(
        *("accounts", "Account owners", "Whose account a customer is, and from when until when."),
        lambda at, _since: exports.owners(AccountOwnership.objects.filter(superseded_at=None)),
    ),
    Dataset(
        "usage",
        marked("Usage"),
        marked("Consumption by customer, month and offering, metered and billed."),
        _usage,
    ),
    Dataset(
        *("rates", "Exchange rates", "What currencies were worth, by day."),
        lambda at, _since: exports.rates(FxRate.objects.filter(superseded_at=None)),
    ),
    Dataset(
        *("rules", "Crediting rules", "Every version of every plan, rule by rule, as it reads."),
        lambda at, _since: exports.rules(versions_for(drafts=True)),
    ),
    Dataset(
        *("periods", "Periods", "Months, quarters, halves and years of every calendar."),
        lambda at, _since: exports.periods(),
    ),
    Dataset(
        *("recredits", "Recredit runs", "Every run with its cause and its counts."),
        lambda at, _since: exports.recredit_runs(runs()),
    ),
    Dataset(
        *(
            "offerings",
            "Offerings",
            "The catalog on the day: where it is sold, what it costs, what it counts for.",
        ),
        lambda at, _since: catalog.offerings(Offering.objects.all(), ("name", "id"), day_of(at)),
        catalog=True,
    ),
    Dataset(
        *("prices", "Prices", "Every list price through time, corrected ones too."),
        lambda at, _since: catalog.prices(PriceVersion.objects.filter(private_offer=None)),
        catalog=True,
    ),
    Dataset(
        *(
            "decisions",
            "Eligibility decisions",
            "What counts for which program, since when, by whose decision.",
        ),
        lambda at, _since: catalog.decisions(
            EligibilityDecision.objects.select_related(*WITH), day_of(at), people=True
        ),
        catalog=True,
    ),
    Dataset(
        "private-offers",
        marked("Private offers"),
        marked("A price for one customer each."),
        _offers,
        catalog=True,
    ),
    Dataset(
        *("changes", "Changes of the catalog", "One after another, as everybody was told of them."),
        lambda at, _since: catalog.changes(CatalogChange.objects.all()),
        catalog=True,
    ),
)


# --- writing ----------------------------------------------------------------------------------------------


def export_to(
    *,
    directory: Path,
    slugs: Iterable[str] = (),
    form: Format = "csv",
    at: datetime,
    ledger: Since = None,
    manifest: bool = False,
) -> Manifest:
    """Write datasets into a directory, one state of the database: those named, or all. A file of the same name is replaced.

    ledger     Which postings; all of them without.
    manifest   Whether one is written beside the files.
    Raises     Invalid for a name that no dataset has; OSError where the directory does not take it, TooManyRows for XLSX.
    """
    chosen = _chosen(slugs)
    directory.mkdir(parents=True, exist_ok=True)
    local = at.astimezone(ZoneInfo(settings.TIME_ZONE))
    with one_state():
        files = [
            _write(
                directory,
                Export(each.slug, each.title, each.table(at, ledger), local, said=[("About", each.about)]),
                each,
                form,
            )
            for each in chosen
        ]
    made = Manifest(local.date(), local, files, *(ledger or (None, None)))
    if manifest:
        with _in_place(directory / _manifest_name(made.date)) as file:
            file.write(_told(made).encode())
    return made


def export_night(*, directory: Path, at: datetime, keep_days: int, form: Format = "csv") -> Manifest | None:
    """Write what the night before left to write; None where it was done already, or another worker is at it.

    The ledger's file begins where the manifest before it ended, and ends with the operator's midnight.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _alone(directory) as alone:
        nights = _manifests(directory)
        on = day_of(at)
        if not alone or any(night.date >= on for night in nights):
            return None
        before = max((night.ledger_until for night in nights if night.ledger_until), default=None)
        made = export_to(
            directory=directory, form=form, at=at, ledger=(before, first_moment(on)), manifest=True
        )
        _forget(directory, [night for night in nights if night.date <= on - timedelta(days=keep_days)])
        return made


def kept_nights() -> list[Manifest]:
    """The nights that the setting's directory holds, the latest first; without a directory none."""
    return _manifests(Path(settings.EXPORT_DIR))[::-1] if settings.EXPORT_DIR else []


def _chosen(slugs: Iterable[str]) -> list[Dataset]:
    wanted = list(dict.fromkeys(slugs))
    known = {each.slug: each for each in DATASETS}
    unknown = [slug for slug in wanted if slug not in known]
    if unknown:
        raise Invalid(
            *(
                Problem("no_dataset", f"There is no dataset {slug}; there are {', '.join(known)}.")
                for slug in unknown
            )
        )
    return [known[slug] for slug in wanted] if wanted else list(DATASETS)


def _write(directory: Path, export: Export, dataset: Dataset, form: Format) -> Written:
    name = export.file_name(form)
    with _in_place(directory / name) as file:
        rows = write(export, form, file)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
    return Written(name, dataset.slug, dataset.title, rows, size, digest)


@contextmanager
def _in_place(path: Path) -> Iterator[BufferedRandom]:
    """A file under another name that takes its own once it is whole and on the disk; readable by us and our group alone."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o640)
    try:
        with partial.open("r+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _alone(directory: Path) -> Iterator[bool]:
    """Whether nobody else writes there; given back when this is through or dead."""
    with (directory / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


# --- manifests --------------------------------------------------------------------------------------------

_MANIFEST: Final = re.compile(r"manifest-(\d{4}-\d{2}-\d{2})\.json")


def _manifest_name(on: date) -> str:
    return f"manifest-{on.isoformat()}.json"


def _told(manifest: Manifest) -> str:
    body: dict[str, Any] = {
        "date": manifest.date.isoformat(),
        "as_of": manifest.as_of.isoformat(),
        "ledger": {
            "from": manifest.ledger_from.isoformat() if manifest.ledger_from else None,
            "until": manifest.ledger_until.isoformat() if manifest.ledger_until else None,
        },
        "files": [asdict(file) for file in manifest.files],
    }
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def _manifests(directory: Path) -> list[Manifest]:
    """What was written there, the oldest first; a file that is no manifest of ours is left alone."""
    found = []
    for path in directory.glob("manifest-*.json"):
        if not _MANIFEST.fullmatch(path.name):
            continue
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            found.append(
                Manifest(
                    date.fromisoformat(body["date"]),
                    datetime.fromisoformat(body["as_of"]),
                    [Written(**file) for file in body["files"]],
                    _instant(body["ledger"]["from"]),
                    _instant(body["ledger"]["until"]),
                )
            )
        except (OSError, ValueError, KeyError, TypeError) as unreadable:
            log.warning("%s is no manifest of an export: %s", path, unreadable)
    return sorted(found, key=lambda manifest: manifest.date)


def _instant(written: str | None) -> datetime | None:
    return datetime.fromisoformat(written) if written else None


def _forget(directory: Path, nights: Iterable[Manifest]) -> None:
    """What a manifest names, and then the manifest; nothing that lies elsewhere."""
    for night in nights:
        for file in night.files:
            if Path(file.name).name == file.name:
                (directory / file.name).unlink(missing_ok=True)
        (directory / _manifest_name(night.date)).unlink(missing_ok=True)
