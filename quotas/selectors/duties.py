"""Who can do what, and whether anybody ever did both sides of one thing. See quotas/RULES.md 18.9."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import connection

from accounts.models import Role, User
from config.exports import Column, Table
from config.language import marked

SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Duty:
    """Something that changes what people are credited or paid, and the roles that may do it."""

    slug: str
    name: str
    roles: frozenset[str]
    other: str = ""  # the duty that somebody else has to do


COMP: Final = frozenset({Role.COMP_ADMIN})
SELLERS: Final = frozenset({Role.REP, Role.MANAGER, Role.COMP_ADMIN})
LEADERS: Final = frozenset({Role.MANAGER, Role.COMP_ADMIN})
CATALOG: Final = frozenset({Role.CATALOG_MANAGER})

DUTIES: Final = (
    Duty("plan-draft", marked("Draft a plan"), COMP, "plan-publish"),
    Duty("plan-publish", marked("Publish a plan"), COMP, "plan-draft"),
    Duty("deal-submit", marked("Submit a deal"), SELLERS, "deal-approve"),
    Duty("deal-approve", marked("Approve deals"), LEADERS, "deal-submit"),
    Duty("policy-draft", marked("Draft a policy"), COMP, "policy-publish"),
    Duty("policy-publish", marked("Publish a policy"), COMP, "policy-draft"),
    Duty("adjustment-ask", marked("Ask for an adjustment"), LEADERS, "adjustment-decide"),
    Duty("adjustment-decide", marked("Decide on one"), COMP, "adjustment-ask"),
    Duty("parity-ask", marked("Ask for a parity exception"), COMP, "parity-approve"),
    Duty("parity-approve", marked("Approve one"), COMP, "parity-ask"),
    Duty("close-ask", marked("Ask for a close"), COMP, "close-approve"),
    Duty("close-approve", marked("Approve a close"), COMP, "close-ask"),
    Duty("eligibility-make", marked("Decide what counts"), CATALOG, "eligibility-check"),
    Duty("eligibility-check", marked("Check such a decision"), CATALOG, "eligibility-make"),
)
# Roles that one person should not hold together, and why.
CONFLICTS: Final = (
    (Role.COMP_ADMIN, Role.REP, "Writes the rules, and is paid by them."),
    (Role.COMP_ADMIN, Role.MANAGER, "Approves deals, and closes the months that hold them."),
    (Role.COMP_ADMIN, Role.CATALOG_MANAGER, "Decides what counts toward quota, and what it earns."),
    (Role.CATALOG_MANAGER, Role.REP, "Decides what counts toward quota, and sells it."),
    (Role.AUDITOR, Role.COMP_ADMIN, "Audits what the same person decides."),
    (Role.AUDITOR, Role.MANAGER, "Audits what the same person approves."),
    (Role.AUDITOR, Role.REP, "Audits what the same person is credited."),
    (Role.AUDITOR, Role.CATALOG_MANAGER, "Audits what the same person decides."),
    (Role.PARTNER, Role.COMP_ADMIN, "Is a publisher's, and decides for the operator."),
    (Role.PARTNER, Role.CATALOG_MANAGER, "Is a publisher's, and decides on its offerings."),
)

# (what, of what it is proved, how many were checked, and id, user id of each that the same person did both sides of).
_BOTH: Final = (
    (
        "A plan is published by another person than who drafted it or asked for its review",
        "published plan versions",
        "SELECT count(*) FROM quotas_planversion WHERE published_by_id IS NOT NULL",
        "SELECT id, published_by_id FROM quotas_planversion WHERE published_by_id IN (drafted_by_id, review_asked_by_id)",
    ),
    (
        "A deal is approved by a person who did not submit it",
        "approvals of deals by a person",
        """SELECT count(*) FROM quotas_dealevent e JOIN quotas_deal d ON d.id = e.deal_id
            WHERE e.action IN ('approved', 'first_approved') AND d.approved_under_id IS NULL""",
        """SELECT e.deal_id, e.by_id FROM quotas_dealevent e JOIN quotas_deal d ON d.id = e.deal_id
            WHERE e.action IN ('approved', 'first_approved') AND d.approved_under_id IS NULL
              AND e.by_id = (SELECT s.by_id FROM quotas_dealevent s
                              WHERE s.deal_id = e.deal_id AND s.id < e.id AND s.action = 'submitted' ORDER BY s.id DESC LIMIT 1)""",
    ),
    (
        "A deal is approved by a person who has no share in it",
        "approvals of deals",
        "SELECT count(*) FROM quotas_dealevent WHERE action IN ('approved', 'amendment_approved', 'first_approved')",
        """SELECT e.deal_id, e.by_id FROM quotas_dealevent e JOIN quotas_dealshare s ON s.version_id = e.version_id
             JOIN quotas_rep r ON r.id = s.rep_id
            WHERE e.action IN ('approved', 'amendment_approved', 'first_approved') AND r.user_id = e.by_id""",
    ),
    (
        "The two approvals of a large deal are those of two people",
        "second approvals",
        "SELECT count(*) FROM quotas_dealapproval WHERE ordinal = 2",
        """SELECT b.deal_id, b.by_id FROM quotas_dealapproval a JOIN quotas_dealapproval b
               ON b.deal_id = a.deal_id AND b.version_id = a.version_id AND b.submitted_at = a.submitted_at AND b.ordinal = 2
            WHERE a.ordinal = 1 AND (a.by_id = b.by_id OR a.on_behalf_of_id = b.by_id OR b.on_behalf_of_id = a.by_id)""",
    ),
    (
        "An adjustment is decided by another person than who asked for it, and not by whom it is for",
        "adjustments posted by hand",
        "SELECT count(*) FROM quotas_adjustment WHERE state = 'posted' AND reason_code <> 'deal_cancelled'",
        """SELECT a.id, a.decided_by_id FROM quotas_adjustment a JOIN quotas_rep r ON r.id = a.rep_id
            WHERE a.state = 'posted' AND a.reason_code <> 'deal_cancelled' AND a.decided_by_id IN (a.asked_by_id, r.user_id)""",
    ),
    (
        "A month is closed by another person than who asked for it",
        "approved closes",
        "SELECT count(*) FROM quotas_periodclose WHERE approved_by_id IS NOT NULL",
        "SELECT id, approved_by_id FROM quotas_periodclose WHERE approved_by_id = asked_by_id",
    ),
    (
        "A month is reopened by another person than who asked for it",
        "reopened months",
        "SELECT count(*) FROM quotas_periodclose WHERE reopened_by_id IS NOT NULL",
        "SELECT id, reopened_by_id FROM quotas_periodclose WHERE reopened_by_id = reopen_asked_by_id",
    ),
    (
        "A policy is published by another person than who drafted it",
        "published policies",
        "SELECT count(*) FROM quotas_straightthroughpolicy WHERE published_by_id IS NOT NULL",
        "SELECT id, published_by_id FROM quotas_straightthroughpolicy WHERE published_by_id = drafted_by_id",
    ),
    (
        "A parity exception is approved by another person than who asked for it",
        "approved exceptions",
        "SELECT count(*) FROM quotas_parityexception WHERE approved_by_id IS NOT NULL",
        "SELECT id, approved_by_id FROM quotas_parityexception WHERE approved_by_id = asked_by_id",
    ),
    (
        "What counts toward quota is checked by another person than who decided it",
        "checked decisions",
        "SELECT count(*) FROM marketplace_eligibilitydecision WHERE checked_by_id IS NOT NULL",
        "SELECT id, checked_by_id FROM marketplace_eligibilitydecision WHERE checked_by_id = made_by_id",
    ),
    (
        "Nobody granted themselves a role",
        "role grants by a person",
        "SELECT count(*) FROM accounts_rolegrant WHERE granted_by_id IS NOT NULL",
        "SELECT id, user_id FROM accounts_rolegrant WHERE granted_by_id = user_id",
    ),
)
# How often each person did what, ever.
_DONE: Final = """
    SELECT 'plan-draft', drafted_by_id, count(*) FROM quotas_planversion GROUP BY 2
    UNION ALL SELECT 'plan-publish', published_by_id, count(*) FROM quotas_planversion GROUP BY 2
    UNION ALL SELECT 'deal-submit', by_id, count(*) FROM quotas_dealevent WHERE action = 'submitted' GROUP BY 2
    UNION ALL SELECT 'deal-approve', by_id, count(*) FROM quotas_dealevent
                WHERE action IN ('approved', 'first_approved', 'amendment_approved') GROUP BY 2
    UNION ALL SELECT 'policy-draft', drafted_by_id, count(*) FROM quotas_straightthroughpolicy GROUP BY 2
    UNION ALL SELECT 'policy-publish', published_by_id, count(*) FROM quotas_straightthroughpolicy GROUP BY 2
    UNION ALL SELECT 'adjustment-ask', asked_by_id, count(*) FROM quotas_adjustment GROUP BY 2
    UNION ALL SELECT 'adjustment-decide', decided_by_id, count(*) FROM quotas_adjustment GROUP BY 2
    UNION ALL SELECT 'parity-ask', asked_by_id, count(*) FROM quotas_parityexception GROUP BY 2
    UNION ALL SELECT 'parity-approve', approved_by_id, count(*) FROM quotas_parityexception GROUP BY 2
    UNION ALL SELECT 'close-ask', asked_by_id, count(*) FROM quotas_periodclose GROUP BY 2
    UNION ALL SELECT 'close-approve', approved_by_id, count(*) FROM quotas_periodclose GROUP BY 2
    UNION ALL SELECT 'eligibility-make', made_by_id, count(*) FROM marketplace_eligibilitydecision GROUP BY 2
    UNION ALL SELECT 'eligibility-check', checked_by_id, count(*) FROM marketplace_eligibilitydecision GROUP BY 2
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """One person and one duty: whether they can do it now, and how often they ever did."""

    can: bool
    done: int


@dataclass(frozen=True, slots=True)
class Person:
    """Who can or did something, with a cell for each of DUTIES.

    conflicts  Why the roles held together should not be; empty for most.
    """

    user: User
    roles: Sequence[str]
    cells: Sequence[Cell]
    conflicts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Proof:
    """That nobody did both sides of one thing. found: ids and who, the first of them; none is as it must be."""

    rule: str
    of: str
    checked: int
    broken: int
    found: Sequence[tuple[int, str]]

    @property
    def holds(self) -> bool:
        return not self.broken


@dataclass(frozen=True, slots=True)
class Report:
    people: Sequence[Person]
    proofs: Sequence[Proof]

    @property
    def conflicts(self) -> int:
        return sum(bool(person.conflicts) for person in self.people)

    @property
    def broken(self) -> int:
        return sum(not proof.holds for proof in self.proofs)


def report(*, sellers: bool = False) -> Report:
    """Everybody who can or did more than submit, and the proofs. A fixed number of queries, whatever the number of people.

    sellers  With those too who can only submit deals.
    """
    done: dict[int, dict[str, int]] = defaultdict(dict)
    with connection.cursor() as cursor:
        cursor.execute(_DONE)
        for duty, user_id, count in cursor.fetchall():
            if user_id is not None:
                done[user_id][duty] = count
    held: dict[int, set[str]] = defaultdict(set)
    users = User.objects.prefetch_related("role_grants").order_by("name", "pk")
    people = []
    for user in users:
        grants = {grant.role for grant in user.role_grants.all() if grant.withdrawn_at is None}
        held[user.pk] = grants if user.is_active else set()
        person = _person(user, held[user.pk], done.get(user.pk, {}))
        only_sells = all(
            duty.slug == "deal-submit" or not (cell.can or cell.done)
            for duty, cell in zip(DUTIES, person.cells, strict=True)
        )
        if not only_sells or person.conflicts or (sellers and any(cell.can for cell in person.cells)):
            people.append(person)
    return Report(people, proofs())


def _person(user: User, roles: set[str], done: dict[str, int]) -> Person:
    return Person(
        user,
        sorted(Role(role).label for role in roles),
        [Cell(bool(roles & duty.roles), done.get(duty.slug, 0)) for duty in DUTIES],
        [f"{one.label} and {other.label}: {why}" for one, other, why in CONFLICTS if {one, other} <= roles],
    )


def proofs() -> list[Proof]:
    """3 queries each at most."""
    found = []
    for rule, of, counted, broken in _BOTH:
        with connection.cursor() as cursor:
            cursor.execute(counted)
            ((checked,),) = cursor.fetchall()
            cursor.execute(broken)
            rows = cursor.fetchall()
        names = dict(User.objects.filter(pk__in={row[1] for row in rows[:SHOWN]}).values_list("pk", "name"))
        shown = [(row[0], names.get(row[1], "")) for row in rows[:SHOWN]]
        found.append(Proof(rule, of, checked, len(rows), shown))
    return found


def as_table(found: Report) -> Table:
    """A row a person and duty that they can or did."""
    columns = [
        Column("person", "Person"),
        Column("email", "E-mail"),
        Column("active", "Active", "flag"),
        Column("roles", "Roles"),
        Column("duty", "Duty"),
        Column("can", "Can", "flag"),
        Column("done", "Done", "whole"),
        Column("other", "Other side: can", "flag"),
        Column("conflicts", "Conflicting roles"),
    ]
    places = {duty.slug: at for at, duty in enumerate(DUTIES)}

    def rows() -> Iterator[Sequence[Any]]:
        for person in found.people:
            for duty, cell in zip(DUTIES, person.cells, strict=True):
                if cell.can or cell.done:
                    other = person.cells[places[duty.other]].can if duty.other else False
                    yield (
                        *(person.user.name, person.user.email, person.user.is_active),
                        *(", ".join(person.roles), duty.name, cell.can, cell.done, other),
                        "; ".join(person.conflicts),
                    )

    return Table(columns, rows)
