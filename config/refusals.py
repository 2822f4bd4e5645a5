"""How a service says no: one exception for every layer above, so that a form shows it beside its field and REST as a problem."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    code     Stable word for programs, such as shares_do_not_add_up.
    message  A sentence for people that says what to do.
    pointer  JSON pointer into what was sent, such as /lines/0/amount; empty where it is about the whole.
    """

    code: str
    message: str
    pointer: str = ""


class Refusal(Exception):
    """Nothing was done. Subclasses give the HTTP status and the title of the problem+json answer."""

    status = 422
    title = "What was sent cannot be accepted"

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("; ".join(p.message for p in problems))

    @classmethod
    def of(cls, code: str, message: str, pointer: str = "") -> "Refusal":
        return cls(Problem(code, message, pointer))


class Invalid(Refusal):
    """The content is wrong; each problem points at its place."""


class Conflict(Refusal):
    """The content is fine, but not in the state that things are in."""

    status = 409
    title = "That is not possible in the present state"


class Stale(Refusal):
    """Somebody else changed it first."""

    status = 412
    title = "It has changed since you read it"


class Forbidden(Refusal):
    """This person may not do it, and may know that."""

    status = 403
    title = "You may not do that"


class NotFound(Refusal):
    """It does not exist, or not for this person."""

    status = 404
    title = "Not found"


def refuse_if_any(problems: Iterable[Problem]) -> None:
    """Raise Invalid with every problem at once, so that nobody has to find them one by one."""
    found = tuple(problems)
    if found:
        raise Invalid(*found)
