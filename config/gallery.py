"""What the style guide shows: invented people and deals in the product's words. Nothing here is read by another page."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from django import forms
from django.utils.safestring import SafeString

from config import charts, formats

PACE_PPM: Final = 478_261  # day 44 of 92
QUARTER: Final = "FY27 Q1"


@dataclass(frozen=True)
class Row:
    """A rep on the board; amounts in cents."""

    rank: int
    name: str
    team: str
    moved: int | None
    credited: int
    quota: int
    pending: int
    trend: tuple[int, ...]
    you: bool = False

    @property
    def gap(self) -> str:
        return formats.points(Fraction(self.credited, self.quota) - Fraction(PACE_PPM, 1_000_000))


ROWS: Final = (
    Row(
        1,
        "Amara Okafor",
        "Nordics",
        2,
        352_000_000,
        240_000_000,
        9_200_000,
        (0, 10, 24, 40, 66, 90, 121, 147),
    ),
    Row(2, "Lukas Brandt", "DACH", 0, 199_360_000, 280_000_000, 11_800_000, (0, 8, 17, 25, 40, 51, 63, 71)),
    Row(
        3,
        "Tomás Vidal",
        "Iberia",
        3,
        97_660_000,
        190_000_000,
        8_800_000,
        (0, 4, 11, 19, 30, 37, 45, 51),
        you=True,
    ),
    Row(4, "Hannah Weiss", "DACH", -1, 111_800_000, 260_000_000, 4_500_000, (0, 6, 12, 18, 22, 30, 38, 43)),
    Row(5, "Jonas Peeters", "Benelux", -3, 31_240_000, 220_000_000, 32_000_000, (0, 1, 1, 3, 5, 8, 12, 14)),
    Row(6, "Mila Novak", "CEE", None, -4_100_000, 180_000_000, 6_000_000, (0, 3, 5, 5, 2, 1, -1, -2)),
)

ELIGIBILITY: Final = (
    {"label": "Quota", "value": "Counts 100%", "tone": "good", "why": "Sold by the cloud: a lab's models sold directly count like our own. Decision 14, from 1 Jul 2026."},
    {"label": "Commitment", "value": "Draws down", "tone": "good", "why": "Pay-as-you-go consumption draws down the customer's commitment at list price."},
    {"label": "Credits", "value": "Not covered", "tone": "muted", "why": "Start-up credits exclude third-party models."},
    {"label": "Resale", "value": "From 1 Oct", "tone": "warn", "why": "Partners may resell once the new terms are in effect."},
    {"label": "Countries", "value": "38 of 41", "tone": "accent", "why": "Not yet in Brazil, India and South Korea."},
)  # fmt: skip


class DealForm(forms.Form):
    """Stands for a deal's form; sent back once with errors."""

    customer = forms.CharField(help_text="The company that signs.")
    offering = forms.ChoiceField(choices=[("", "Choose an offering"), ("a", "Claude Sonnet, pay-as-you-go")])
    value = forms.DecimalField(help_text="Annual value before tax.")
    share = forms.DecimalField()
    closes_on = forms.DateField(label="Close date", widget=forms.DateInput(attrs={"type": "date"}))
    path = forms.ChoiceField(
        label="Commercial path",
        choices=[("cloud", "Sold by the cloud"), ("market", "Marketplace")],
        widget=forms.RadioSelect,
    )
    note = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 2}))
    renewal = forms.BooleanField(required=False, label="This renews an earlier deal")


def _credited_by_day(total: int) -> list[int]:
    return [total * (day * day + 30 * day) // (44 * 44 + 30 * 44) for day in range(45)]


@dataclass(frozen=True)
class Side:
    """One showing of every part, with ids of its own; theme is light, dark or nothing (the page's)."""

    key: str
    theme: str

    @property
    def form(self) -> DealForm:
        return DealForm(auto_id=f"{self.key}_%s")

    @property
    def wrong(self) -> DealForm:
        sent = {"customer": "Helvetia Re", "value": "-5", "share": "60", "closes_on": "2026-06-12"}
        return DealForm(sent, auto_id=f"{self.key}_wrong_%s")

    @property
    def line(self) -> SafeString:
        total, quota = sum(row.credited for row in ROWS), sum(row.quota for row in ROWS)
        return charts.line_chart(
            _credited_by_day(total),
            length=92,
            plan=[0, quota],
            landing=charts.Landing(quota * 1.06, quota * 0.92, quota * 1.18),
            ticks=[(0, "1 Jul"), (44, "Today"), (92, "30 Sep")],
            write=lambda cents: formats.money(cents, compact=True, trim=True),
            label=f"Credited {formats.money(total, compact=True)} by day 44 of 92, landing between 92 and 118 % of quota",
        )


def samples(*, both: bool = False) -> dict[str, Any]:
    """Context of the style guide: once, or in light and dark."""
    total, quota = sum(row.credited for row in ROWS), sum(row.quota for row in ROWS)
    actual = _credited_by_day(total)
    columns = [
        [
            charts.Node("fs", "Financial services", "c1"),
            charts.Node("hc", "Healthcare", "c2"),
            charts.Node("ps", "Public sector", "c4"),
        ],
        [
            charts.Node("chat", "Chat and reasoning", "c1"),
            charts.Node("code", "Coding", "c2"),
            charts.Node("embed", "Search", "c3"),
        ],
        [
            charts.Node("own", "First party", "c3"),
            charts.Node("labs", "Third party", "c2"),
            charts.Node("kept", "Margin", "good"),
        ],
    ]
    flows = [
        ("fs", "chat", 510), ("fs", "code", 160), ("hc", "chat", 220), ("hc", "embed", 200), ("ps", "code", 230), ("ps", "embed", 80),
        ("chat", "own", 240), ("chat", "labs", 310), ("chat", "kept", 180), ("code", "labs", 290), ("code", "kept", 100),
        ("embed", "own", 190), ("embed", "kept", 90),
    ]  # fmt: skip
    bands = [
        charts.Bin("0 to 20", 3, "bad"),
        charts.Bin("20 to 40", 14, "warn"),
        charts.Bin("40 to 60", 41, "accent"),
        charts.Bin("60 to 80", 26, "good"),
        charts.Bin("80 to 100", 9, "good"),
        charts.Bin("over", 4, "good"),
    ]
    shares = [
        charts.Share("Own models", 430, "c3"),
        charts.Share("Lab A", 390, "c2"),
        charts.Share("Lab B", 125, "c1"),
        charts.Share("Open weights", 55, "c4"),
    ]
    return {
        "rows": ROWS,
        "total": {"credited": total, "quota": quota, "pending": sum(row.pending for row in ROWS)},
        "pace_ppm": PACE_PPM,
        "quarter": QUARTER,
        "sparks": {
            "credit": charts.sparkline(actual[::4], label="Credit so far this quarter"),
            "attainment": charts.sparkline(
                [41, 40, 43, 44, 43, 46, 48, 50], label="Attainment, eight weeks", tone="good"
            ),
            "pending": charts.sparkline(
                [3, 5, 4, 7, 6, 9, 12, 14], label="Deals waiting, eight weeks", tone="warn"
            ),
            "landing": charts.sparkline(
                [97, 96, 99, 98, 102, 104, 103, 106], label="Landing, eight weeks", tone="good"
            ),
        },
        "line_table": charts.table_twin(
            "Credit against plan",
            ("Day", "Credited", "Plan"),
            [
                (day, formats.money(actual[day]), formats.money(quota * day // 92))
                for day in (0, 11, 22, 33, 44)
            ],
        ),
        "histogram": charts.histogram(bands, label="Reps per band of attainment"),
        "histogram_table": charts.table_twin(
            "Attainment spread", ("% of quota", "Reps"), [(band.text, band.count) for band in bands]
        ),
        "steps": charts.step_chart(
            [
                (
                    "accent",
                    [
                        charts.Held(0, 150, 3.0),
                        charts.Held(150, 210, 2.5),
                        charts.Held(210, 240, None),
                        charts.Held(240, 365, 2.0),
                    ],
                )
            ],
            length=365,
            now=180,
            ticks=[(0, "Jan"), (180, "Today"), (365, "Dec")],
            write=lambda dollars: f"${dollars:.2f}",
            label="A price: $3.00, since June $2.50, none in effect in August, from September on $2.00",
        ),
        "sankey": charts.sankey(
            columns,
            [charts.Link(*flow) for flow in flows],
            write=lambda value: formats.money(value * 1_000_000, compact=True),
            label="Spend from customer segments through task areas to origins and margin",
        ),
        "share": charts.share_bar(shares, label="Spend by supplier"),
        "share_legend": charts.legend(
            (share.text, formats.percent(share.value, 1000), share.tone) for share in shares
        ),
        "eligibility": ELIGIBILITY,
        "deal_states": ("draft", "submitted", "approved", "rejected", "returned", "cancelled", "held"),
        "lifecycle_states": ("preview", "generally_available", "legacy", "deprecated", "retired"),
        "credit_states": ("pending", "credited", "reversed", "clawed_back", "disputed"),
        "tones": ("accent", "good", "warn", "bad", "muted"),
        "sides": [Side("light", "light"), Side("dark", "dark")] if both else [Side("one", "")],
    }
