"""How much of everything: the demo as it is shown, and one of the same shape that a browser test can wait for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Counts of the demo. Deals are all deals; statements are those of them that record a month's consumption."""

    areas: tuple[str, ...]
    segments: tuple[str, ...]
    sellers: tuple[int, int]  # fewest and most in a team
    stars: int  # sellers in the team of the log-ins
    leavers: int
    hires: int
    movers: int
    deals: int
    statements: int
    waiting: int  # submitted, not decided
    waiting_at_home: int  # of them in the team of the log-ins
    drafts: int
    returned: int
    rejected: int
    cancelled: int
    cancelled_late: int  # of them after their month was closed
    held: int
    refunds: int


FULL = Scale(
    areas=(
        *("us-east", "us-central", "us-west", "canada", "latin-america"),
        *("uk-ireland", "dach", "france-benelux", "southern-europe", "nordics", "middle-east-africa"),
        *("japan", "india", "southeast-asia", "australia-new-zealand"),
    ),
    segments=("enterprise", "corporate", "public-sector"),
    sellers=(8, 9),
    stars=10,
    leavers=18,
    hires=14,
    movers=12,
    deals=25_000,
    statements=6_000,
    waiting=60,
    waiting_at_home=14,
    drafts=120,
    returned=20,
    rejected=60,
    cancelled=50,
    cancelled_late=4,
    held=10,
    refunds=110,
)

SMALL = Scale(
    areas=("us-west", "dach", "japan"),
    segments=("enterprise", "public-sector"),
    sellers=(3, 3),
    stars=9,
    leavers=1,
    hires=1,
    movers=1,
    deals=400,
    statements=90,
    waiting=20,
    waiting_at_home=14,
    drafts=8,
    returned=3,
    rejected=4,
    cancelled=4,
    cancelled_late=1,
    held=2,
    refunds=3,
)

SCALES = {"full": FULL, "small": SMALL}
