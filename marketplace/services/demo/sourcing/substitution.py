"""Substitutions in every state over the demo's features; all of it is made up and labelled synthetic.

What is decided is written as it would stand by now; what waits for a decision goes through the service, so that those who
decide are told.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from accounts.audit import acting
from accounts.models import User
from config.clock import day_of
from marketplace.models import Feature, ModelVersion, Substitution, SubstitutionState
from marketplace.selectors.sourcing.substitution import Standings
from marketplace.services.sourcing.substitution import propose

Q, R = SubstitutionState.QUALIFIED, SubstitutionState.REJECTED


@dataclass(frozen=True, slots=True)
class Decided:
    """proposed, decided, withdrawn: days before the demo's day; withdrawn None stands. by, decider: log-ins."""

    feature: str
    replaced: str
    alternative: str
    state: SubstitutionState
    by: str
    proposed: int
    reason: str
    decider: str
    decided: int
    note: str
    withdrawn: int | None = None


DECIDED: Final = (
    Decided(
        *("copilot-agent", "claude-opus-4-5", "gpt-5-2", Q, "engineer", 52),
        "Finishes as many errands in our agent suite, at less than half the price.",
        *("sourcing", 47, "Level in the ranking; tried for a week on a tenth of the internal users."),
    ),
    Decided(
        *("copilot-chat", "claude-sonnet-4-5", "gpt-5-2-codex", Q, "developer", 40),
        "Level on repository repairs and it takes images too.",
        *("buyer", 33, "Kept as the way out if prices of the default move at renewal."),
    ),
    Decided(
        *("copilot-chat", "claude-sonnet-4-5", "phi-4", R, "developer", 66),
        "By far the cheapest that we host ourselves.",
        *("sourcing", 61, "Takes no images, which every third question comes with."),
    ),
    Decided(
        *("copilot-completion", "gpt-5-mini", "deepseek-v3-2", Q, "engineer", 75),
        "Level on repository repairs, and open weights that we could host.",
        *("sourcing", 70, "Dearer here: a way out, no saving."),
    ),
    Decided(
        *("copilot-completion", "gpt-5-mini", "phi-4-mini", R, "engineer", 90),
        "Our own, and it costs less than half.",
        *("sourcing", 83, "Accepted half as often in the editor; nothing in a ranking speaks for it."),
    ),
    Decided(
        *("copilot-review", "claude-sonnet-4-5", "gpt-5-2-codex", Q, "developer", 28),
        "Finds the same defects on last quarter's reviews, for a third less.",
        *("sourcing", 24, ""),
    ),
    Decided(
        *("m365-slides", "claude-sonnet-4-5", "mistral-medium-3", R, "engineer", 34),
        "A European supplier at a sixth of the price.",
        *("buyer", 30, "Clearly behind in the blind round on slides, and it retires in December."),
    ),
    Decided(
        *("m365-research", "gpt-5-pro", "o3", Q, "engineer", 120),
        "Good enough for short reports, at a tenth of the price.",
        *("sourcing", 110, "For short reports."),
        withdrawn=20,
    ),
    Decided(
        *("security-reports", "gpt-5-2", "mistral-large", Q, "developer", 45),
        "Invents less on the published groundedness ranking, for a tenth less.",
        *("sourcing", 41, "Better in the ranking; summaries of 300 alerts were checked by hand."),
    ),
    Decided(
        *("security-reports", "gpt-5-2", "command-a", R, "engineer", 58),
        "A third supplier for reports.",
        *("buyer", 55, "Invents more in the same ranking, and it is dearer."),
    ),
    Decided(
        *("security-triage", "gpt-5-2", "phi-4", R, "developer", 49),
        "Our own model would keep every alert in house.",
        *("sourcing", 44, "Misses a fifth more alerts than what runs now."),
    ),
)
# Feature, version that would be replaced, alternative, who proposes, days before the demo's day, why.
OPEN: Final = (
    (
        *("copilot-completion", "deepseek-v3-2", "codestral", "engineer", 12),
        "If the way out itself is withdrawn: made for completion, and cheaper than what it would replace.",
    ),
    (
        *("security-scripts", "claude-opus-4-5", "gpt-5-2-codex", "developer", 5),
        "Level on repository repairs. Without it this feature stands still if its only supplier stops.",
    ),
    (
        *("m365-mail", "gpt-5-mini", "mistral-small-3-1", "engineer", 3),
        "The only feature of the office assistant with one supplier. Whether it runs in the EU has to be asked.",
    ),
    (
        *("m365-documents", "gpt-5-2", "command-a", "sourcing", 2),
        "A third supplier before the renewal talks.",
    ),
)


def stage(*, people: Mapping[str, User], at: datetime) -> dict[str, int]:
    """Rows whose feature does not run on the version, or whose version is not in the catalog, are left out."""
    features = {feature.slug: feature for feature in Feature.objects.all()}
    slugs = {s for d in DECIDED for s in (d.replaced, d.alternative)} | {s for o in OPEN for s in o[1:3]}
    versions = {
        version.model.slug: version
        for version in ModelVersion.objects.filter(model__slug__in=slugs)
        .select_related("model")
        .order_by("released_on", "id")
    }
    sheet = Standings(day_of(at), None, [version.pk for version in versions.values()])
    made = 0
    for row in DECIDED:
        if {row.replaced, row.alternative} <= versions.keys() and row.feature in features:
            made += _decided(row, features[row.feature], versions, sheet, people, at)
    for feature, replaced, alternative, who, days, reason in OPEN:
        if {replaced, alternative} <= versions.keys() and feature in features:
            ago = at - timedelta(days=days)
            propose(
                feature_id=features[feature].pk,
                replaced_id=versions[replaced].pk,
                alternative_id=versions[alternative].pk,
                reason=reason,
                by=people[who],
                at=ago,
                on=day_of(ago),
                synthetic=True,
            )
            made += 1
    return {"substitutions": made}


def _decided(
    row: Decided,
    feature: Feature,
    versions: Mapping[str, ModelVersion],
    sheet: Standings,
    people: Mapping[str, User],
    at: datetime,
) -> int:
    replaced, alternative = versions[row.replaced], versions[row.alternative]
    evidence = sheet.verdicts(feature.pk, replaced.pk, alternative.pk).evidence
    acting(by=people[row.decider], at=at - timedelta(days=row.decided), reason="Made up for the demo")
    Substitution.objects.create(
        feature=feature,
        replaced=replaced,
        alternative=alternative,
        state=row.state,
        reason=row.reason,
        run=evidence.run if evidence is not None else None,
        evaluation=evidence.evaluation if evidence is not None else None,
        synthetic=True,
        proposed_by=people[row.by],
        proposed_at=at - timedelta(days=row.proposed),
        decided_by=people[row.decider],
        decided_at=at - timedelta(days=row.decided),
        decision_note=row.note,
        superseded_at=None if row.withdrawn is None else at - timedelta(days=row.withdrawn),
    )
    return 1
