"""What somebody new does first, by role: a short list on their home in the demo, ticked off as they go."""

from dataclasses import dataclass
from typing import Final

from django.urls import NoReverseMatch, reverse


@dataclass(frozen=True, slots=True)
class Step:
    """slug   Kept with the person once it is done. name   The page that it leads to."""

    slug: str
    name: str
    text: str
    hint: str

    @property
    def url(self) -> str:
        """Nothing while the page does not exist."""
        try:
            return reverse(self.name)
        except NoReverseMatch:
            return ""


STEPS: Final[dict[str, tuple[Step, ...]]] = {
    "rep": (
        Step("log", "quotas:deal-new", "Log a deal", "Its credit shows before you save."),
        Step("why", "quotas:deals", "See why a credit is what it is", "Open a deal, then “Why”."),
        Step("gap", "quotas:gap", "See what closes your gap", "Your open deals, in the order that helps."),
        Step("rank", "quotas:leaderboard", "Find your rank", "“Around me” shows who is near."),
        Step("statement", "quotas:statements", "Read a statement", "Every entry behind the total."),
    ),
    "manager": (
        Step("approve", "quotas:approvals", "Approve deals", "Each says why it waits for you."),
        Step("board", "quotas:board", "Read your board", "Drill down by clicking on a team."),
        Step("quota", "quotas:planning", "Hand down a quota", "By history, evenly or as it is."),
        Step("dispute", "quotas:disputes", "Answer a dispute", "What stood then is frozen beside it."),
        Step("ask", "quotas:whatif", "Ask what if", "A split, a transfer, another quota; nothing is written."),
    ),
    "comp_admin": (
        Step("rules", "quotas:plans", "Read the crediting rules", "As sentences, with their versions."),
        Step("parity", "quotas:parity", "Prove parity", "Every line against its twin of the other origin."),
        Step("simulate", "quotas:whatif", "Try a draft on history", "Who wins, who loses, by how much."),
        Step("close", "quotas:periods", "Look at a month's close", "Checklist, seal, versions side by side."),
        Step("import", "quotas:imports", "Bring in a file of deals", "It is checked before anything is written."),
    ),
    "catalog_manager": (
        Step("browse", "marketplace:catalog", "Find an offering", "Facets, past days, up to four compared."),
        Step("review", "marketplace:change-sets", "Review a change set", "Everything applies together or not at all."),
        Step("decide", "marketplace:decisions", "Decide what counts", "With a date, a reason and a second person."),
        Step("import", "marketplace:imports", "Look at an import", "Disagreements between sources wait here."),
        Step("footing", "marketplace:footing", "See equal footing", "Who is seen and sold, by publisher."),
    ),
    "partner": (
        Step("change", "marketplace:console", "Change one of your offerings", "It is reviewed before it is live."),
        Step("sets", "marketplace:console-upload", "Try a change set as a file", "Validate first: nothing is written."),
        Step("deals", "quotas:deals", "See your deals", "Yours alone, without names."),
        Step("hooks", "marketplace:webhooks", "Set up a webhook", "Signed, with a log and replay."),
        Step("api", "api-docs", "Read the API", "Every page shows its call."),
    ),
    "sourcing_lead": (
        Step("spend", "marketplace:spend", "See what we spend with whom", "Actual, plan and forecast apart."),
        Step("runs", "marketplace:products", "See what runs on whose models", "By feature and date."),
        Step("whole", "marketplace:concentration", "See how concentrated we are", "Shares, index, what warns."),
        Step("leverage", "marketplace:leverage", "Look at the leverage sheet", "What could be switched, by when."),
        Step("scenario", "marketplace:scenarios", "Try a switch on paper", "Cost, quality and concentration before and after."),
    ),
    "auditor": (
        Step("trail", "accounts:audit", "Follow a change", "Who, when, before, after, why."),
        Step("verify", "quotas:audit", "Verify the ledger", "And draw a sample with its evidence."),
        Step("ledger", "quotas:ledger", "Read the ledger", "Append-only, entry by entry."),
        Step("parity", "quotas:parity", "Read the parity proof", "The verdicts and what they rest on."),
    ),
    "engineer": (
        Step("vote", "marketplace:judge", "Judge two answers blind", "You see neither model nor maker."),
        Step("matrix", "marketplace:task-matrix", "See which model suits which task", "With ranges, and no overall winner."),
        Step("recommend", "marketplace:recommend", "Ask for a recommendation", "Evidence and price, never whose model it is."),
    ),
}  # fmt: skip


def steps_for(role: str) -> list[Step]:
    """Those whose page exists."""
    return [step for step in STEPS.get(role, ()) if step.url]
