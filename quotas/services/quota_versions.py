"""The one way in which a quota is written: what is in force is superseded, and the next version stands beside it. RULES 11.1."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from config import bulk
from config.locks import one_at_a_time
from quotas.models import Quota, QuotaMethod

LOCK: Final = "quotas.targets"

Key = tuple[int, int, int, int]  # measure, period, rep, team; one of the last two is 0


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What a quota is to be. starts: its first day where it is not the whole period; method: empty is as it was."""

    amount_minor: int
    starts: date | None = None
    method: str = ""


@dataclass(frozen=True, slots=True)
class InForce:
    """The version of a quota that is in force."""

    pk: int
    version: int
    amount_minor: int
    starts: date | None
    method: str


def wait_for_others() -> None:
    """Nobody else writes quotas until this transaction ends."""
    one_at_a_time(LOCK)


def versions_in_force(keys: Collection[Key]) -> dict[Key, InForce]:
    """The versions in force of these quotas; who has none is missing. 1 query."""
    if not keys:
        return {}
    found = Quota.objects.filter(
        superseded_at=None, measure__in={key[0] for key in keys}, period__in={key[1] for key in keys}
    )
    found = found.filter(rep__in={key[2] for key in keys} - {0}) | found.filter(
        team__in={key[3] for key in keys} - {0}
    )
    rows: Any = found.values_list(
        "measure", "period", "rep", "team", "pk", "version", "amount_minor", "starts", "method"
    )
    return {(m, p, rep or 0, team or 0): InForce(*rest) for m, p, rep, team, *rest in rows}


def differs(new: NewVersion, old: InForce) -> bool:
    """Whether it says something else than is known: another amount, another way to count a change, or that it holds from an earlier day."""
    earlier = new.starts is not None and old.starts is not None and new.starts < old.starts
    return new.amount_minor != old.amount_minor or new.method not in ("", old.method) or earlier


def write_versions(
    written: Mapping[Key, NewVersion], known: Mapping[Key, InForce], *, by_id: int, at: datetime
) -> None:
    """Supersede the versions that these take the place of, and write the new ones. 2 statements. Call wait_for_others first."""
    gone = [known[key].pk for key in written if key in known]
    if gone:
        Quota.objects.filter(pk__in=gone).update(superseded_at=at)
    bulk.insert(
        [
            Quota(
                measure_id=key[0],
                period_id=key[1],
                rep_id=key[2] or None,
                team_id=key[3] or None,
                version=known[key].version + 1 if key in known else 1,
                amount_minor=new.amount_minor,
                starts=new.starts,
                method=new.method or (known[key].method if key in known else QuotaMethod.LAST.value),
                recorded_by_id=by_id,
                recorded_at=at,
            )
            for key, new in written.items()
        ]
    )
