"""The compensation plans of the demo: rules that anybody can read, blind to whose model it is; a draft that is not, and one against it."""

from dataclasses import dataclass
from datetime import date

from quotas.demo.organisation import AE, SPECIALIST
from quotas.demo.targets import BOOKINGS, CONSUMPTION, NEW_CUSTOMERS

SLUG, NAME = "fy27-field-plan", "FY27 field plan"
SPAN = (date(2025, 7, 1), date(2027, 7, 1))
DRAFT_SPAN = (date(2026, 10, 1), date(2027, 7, 1))
EXCEPTION_SPAN = (date(2026, 7, 1), date(2027, 7, 1))
EXCEPTION_REASON = "Offerings of third parties in the marketplace count only after a decision of their own; reviewed again before FY28."
LAUNCH_SLUG, LAUNCH_NAME = "fy27-launch-plan", "FY27 launch plan"
LAUNCH_SPAN = (date(2026, 7, 1), date(2027, 1, 1))
LAUNCH_ROLES = (AE,)
POLICY_NAME, POLICY_SOURCES = "CRM imports", ("salesforce", "hubspot")
POLICY_MOST_MINOR, POLICY_LATE_AFTER_DAYS = 250_000_00, 92  # US cents; a quarter
SHARES, BY_TERRITORY = 1, 2
OVER_BY_THEN = "year-end-expansion-spiff"  # its dates end before the draft begins

# Measure, weight in parts per million, target incentive of a year in US cents.
COMPONENTS = (
    (BOOKINGS, 600_000, 60_000_00),
    (CONSUMPTION, 300_000, 30_000_00),
    (NEW_CUSTOMERS, 100_000, 10_000_00),
)


# Measure to how it pays by the quarter: (from, rate) in parts per million of quota and of target; cap in US cents.
SCALES: dict[str, tuple[tuple[tuple[int, int], ...], int | None]] = {
    BOOKINGS: (((0, 1_000_000), (1_000_000, 1_500_000)), 26_250_00),  # reached at 150 % of quota
    CONSUMPTION: (((0, 1_000_000),), None),
    NEW_CUSTOMERS: (((0, 1_000_000),), None),
}
DRAW_MINOR, DRAW_SPAN = 6_000_00, (date(2026, 4, 1), date(2027, 1, 1))  # US cents a month, of one person
DRAW_REASON = (
    "Takes over accounts without a pipeline: $6,000 a month until the end of the calendar year, recoverable."
)


@dataclass(frozen=True)
class RuleFact:
    """One rule; an empty condition means any. Publishers and task areas by slug."""

    slug: str
    name: str
    measure: str
    receivers: int = SHARES
    exclusive: bool = True
    factor_ppm: int = 1_000_000
    priority: int = 0
    cap_minor: int | None = None
    effective: tuple[date, date] | None = None
    deal_kinds: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    publishers: tuple[str, ...] = ()
    task_areas: tuple[str, ...] = ()


RULES = (
    RuleFact("bookings", "Bookings count once", BOOKINGS),
    RuleFact("consumption", "Consumption counts once", CONSUMPTION),
    RuleFact("new-customers", "A new customer counts as one", NEW_CUSTOMERS),
    RuleFact(
        *("emea-new-business", "New business in EMEA counts 110%, up to $300,000 a deal", BOOKINGS),
        factor_ppm=1_100_000,
        priority=20,
        cap_minor=30_000_000,
        deal_kinds=("new_business",),
        regions=("emea",),
    ),
    RuleFact(
        *("specialists", "Specialists earn 80% on bookings that they share", BOOKINGS),
        factor_ppm=800_000,
        priority=10,
        roles=(SPECIALIST,),
    ),
    RuleFact(
        *(
            "solution-specialists",
            "Solution specialists earn 5% on new business in their territory",
            BOOKINGS,
        ),
        receivers=BY_TERRITORY,
        factor_ppm=50_000,
        deal_kinds=("new_business",),
    ),
    RuleFact(
        *("public-sector-spiff", "SPIFF: 5% more on new business in the public sector", BOOKINGS),
        exclusive=False,
        factor_ppm=50_000,
        deal_kinds=("new_business",),
        segments=("public-sector",),
    ),
    RuleFact(
        *(OVER_BY_THEN, "SPIFF: 2% more on expansions in the last quarter of FY26", BOOKINGS),
        exclusive=False,
        factor_ppm=20_000,
        effective=(date(2026, 4, 1), date(2026, 7, 1)),
        deal_kinds=("expansion",),
    ),
)

# A plan of its own for one role, beside the one that everybody has.
LAUNCH_RULES = (
    RuleFact(
        *("coding-agents", "SPIFF: 3% more on expansions for coding", BOOKINGS),
        exclusive=False,
        factor_ppm=30_000,
        deal_kinds=("expansion",),
        task_areas=("coding",),
    ),
)

# Not published, and the proof will not let it be: it pays more for one publisher.
DRAFT_RULES = (
    *(rule for rule in RULES if rule.slug != OVER_BY_THEN),
    RuleFact(
        *("own-models-push", "Bookings of our own products count 120%", BOOKINGS),
        factor_ppm=1_200_000,
        priority=30,
        publishers=("microsoft",),
    ),
)

# Against it: the same push, for what a model does and not for whose it is. Drafted by the other comp admin.
COUNTER_NOTE = "Counter-proposal: the same push for coding, whoever made the model."
COUNTER_RULE = "Bookings for coding count 115%"
COUNTER_FACTOR_PPM, COUNTER_PRIORITY, COUNTER_AREA = 1_150_000, 30, "coding"
