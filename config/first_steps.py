"""What somebody new does first, by role: a short list on their home in the demo, ticked off as they go."""

from dataclasses import dataclass
from typing import Final

from django.urls import NoReverseMatch, reverse

from config.language import later


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
        Step("log", "quotas:deal-new", later("Log a deal"), later("Its credit shows before you save.")),
        Step("why", "home", later("See why a credit is what it is"), later("Click the rule under a recent credit.")),
        Step("gap", "quotas:gap", later("See what closes your gap"), later("Your open deals, in the order that helps.")),
        Step("rank", "quotas:leaderboard", later("Find your rank"), later("“Around me” shows who is near.")),
        Step("statement", "quotas:statements", later("Read a statement"), later("Every entry behind the total.")),
    ),
    "manager": (
        Step("approve", "quotas:approvals", later("Approve deals"), later("Each says why it waits for you.")),
        Step("board", "quotas:board", later("Read your board"), later("Drill down by clicking on a team.")),
        Step("quota", "quotas:planning", later("Hand down a quota"), later("By history, evenly or as it is.")),
        Step("dispute", "quotas:disputes", later("Answer a dispute"), later("What stood then is frozen beside it.")),
        Step("ask", "quotas:whatif", later("Ask what if"), later("A split, a transfer, another quota; nothing is written.")),
    ),
    "comp_admin": (
        Step("rules", "quotas:plans", later("Read the crediting rules"), later("As sentences, with their versions.")),
        Step("parity", "quotas:parity", later("Prove parity"), later("Every line against its twin of the other origin.")),
        Step("simulate", "quotas:whatif", later("Try a draft on history"), later("Who wins, who loses, by how much.")),
        Step("close", "quotas:periods", later("Look at a month's close"), later("Checklist, seal, versions side by side.")),
        Step("import", "quotas:imports", later("Bring in a file of deals"), later("It is checked before anything is written.")),
    ),
    "catalog_manager": (
        Step("browse", "marketplace:catalog", later("Find an offering"), later("Facets, past days, up to four compared.")),
        Step("review", "marketplace:change-sets", later("Review a change set"), later("Everything applies together or not at all.")),
        Step("decide", "marketplace:decisions", later("Decide what counts"), later("With a date, a reason and a second person.")),
        Step("import", "marketplace:imports", later("Look at an import"), later("Disagreements between sources wait here.")),
        Step("footing", "marketplace:footing", later("See equal footing"), later("Who is seen and sold, by publisher.")),
    ),
    "partner": (
        Step("change", "marketplace:console", later("Change one of your offerings"), later("It is reviewed before it is live.")),
        Step("sets", "marketplace:console-upload", later("Try a change set as a file"), later("Validate first: nothing is written.")),
        Step("deals", "quotas:deals", later("See your deals"), later("Yours alone, without names.")),
        Step("hooks", "marketplace:webhooks", later("Set up a webhook"), later("Signed, with a log and replay.")),
        Step("api", "api-docs", later("Read the API"), later("Every page shows its call.")),
    ),
    "sourcing_lead": (
        Step("spend", "marketplace:spend", later("See what we spend with whom"), later("Actual, plan and forecast apart.")),
        Step("runs", "marketplace:products", later("See what runs on whose models"), later("By feature and date.")),
        Step("whole", "marketplace:concentration", later("See how concentrated we are"), later("Shares, index, what warns.")),
        Step("leverage", "marketplace:leverage", later("Look at the leverage sheet"), later("What could be switched, by when.")),
        Step("scenario", "marketplace:scenarios", later("Try a switch on paper"), later("Cost, quality and concentration before and after.")),
    ),
    "auditor": (
        Step("trail", "accounts:audit", later("Follow a change"), later("Who, when, before, after, why.")),
        Step("verify", "quotas:audit", later("Verify the ledger"), later("And draw a sample with its evidence.")),
        Step("ledger", "quotas:ledger", later("Read the ledger"), later("Append-only, entry by entry.")),
        Step("parity", "quotas:parity", later("Read the parity proof"), later("The verdicts and what they rest on.")),
    ),
    "engineer": (
        Step("vote", "marketplace:judge", later("Judge two answers blind"), later("You see neither model nor maker.")),
        Step("matrix", "marketplace:task-matrix", later("See which model suits which task"), later("With ranges, and no overall winner.")),
        Step("recommend", "marketplace:recommend", later("Ask for a recommendation"), later("Evidence and price, never whose model it is.")),
    ),
}  # fmt: skip


def steps_for(role: str) -> list[Step]:
    """Those whose page exists."""
    return [step for step in STEPS.get(role, ()) if step.url]
