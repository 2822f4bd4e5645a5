"""What an import is asked for beside its map."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Options:
    """What was asked for beside the map.

    create_missing      Make reps, teams, accounts, offerings and publishers that the file names and Parity does not know.
    eligibility_reason  Why offerings made so count toward quota; without it they do not.
    all_or_nothing      One refused row keeps the whole file out.
    cancel_gone         The file is everything that its source has: what is not in it any more is cancelled.
    policy              The straight-through policy that approves what is won; without one it waits for its approver.
    """

    create_missing: bool = False
    eligibility_reason: str = ""
    all_or_nothing: bool = False
    cancel_gone: bool = False
    policy: str = ""

    def document(self) -> dict[str, Any]:
        return asdict(self)
