"""Deals out of a file: rows become drafts, drafts are weighed by the rules of booking and written with them, slice by slice.

A source and its own id name a deal. What a source last said of each is kept beside the deal, so that the same row again changes
nothing, whatever people have done with the deal in between. Approvals and cancellations are noted and follow in steps of their own.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Final

from django.db.models import Q

from accounts.models import Role
from config import bulk
from config.refusals import Problem
from config.slices import in_batches
from marketplace.models import Currency
from quotas.crediting import engine
from quotas.importers.maps import FIELDS, Wrong
from quotas.importers.values import scaled
from quotas.models import (
    ENDED,
    ONE,
    Deal,
    DealKind,
    DealState,
    ImportOutcome,
    Rep,
    SourceRecord,
    SourceTodo,
)
from quotas.selectors.approvers import Limit
from quotas.selectors.visibility import reps_for
from quotas.services import booking, policies
from quotas.services.booking import DealDraft, LineDraft, ShareDraft
from quotas.services.importing.context import MOST_EXAMPLES, Context, Seen
from quotas.services.importing.naming import Names
from quotas.services.importing.previewing import Estimated, estimated_credit, example
from quotas.services.importing.records import drop_leftovers, note_gone, remember, why_waits
from quotas.services.importing.sales import Sale, sales_of

SLICE: Final = 4_000  # deals that are looked up, weighed and written together
MOST_ESTIMATED: Final = 2_000
MOST_REASONS: Final = 12  # why deals wait, in words that name their amounts and days
DECIMALS_OF_PERCENT: Final = 4  # the last of them counts parts per million
BEYOND: Final = (
    10**12
)  # what no quantity may reach: refused, and not rounded, which fails where digits are many


def run_deals(context: Context) -> None:
    """Read all rows and write what they say. Raises Unreadable where a full snapshot plainly is none."""
    _Import(context).run()


@dataclass
class _Import:
    context: Context
    facts: booking.Facts | None = None
    estimated: list[DealDraft] = field(default_factory=list)
    waiting: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        context = self.context
        self.source = context.mapping.source
        self.seen = Seen()
        self.said = [*sorted(spec.name for spec in FIELDS["deals"] if spec.name != "changed_on"), "splits"]
        self.names = Names(context)
        self.policy = policies.in_force(context.options.policy) if context.options.policy else None
        self.limit = Limit.on(context.today)
        self.own = set(Rep.objects.filter(user=context.by).values_list("pk", flat=True))
        self.theirs = (
            None
            if context.by.has_role(Role.COMP_ADMIN)
            else set(reps_for(context.by, context.today).values_list("pk", flat=True))
        )
        self.exponents = dict(Currency.objects.values_list("code", "exponent"))

    def run(self) -> None:
        if not self.context.dry_run:
            drop_leftovers(self.context.run)
        sales = sales_of(self.context.rows(), together=self.context.mapping.several_lines)
        for slice_ in in_batches(sales, SLICE):
            self._take(slice_)
        self._tell()

    def _take(self, sales: list[Sale]) -> None:
        for sale in sales:
            self._look(sale)
        self._only_once(sales)
        self._recall(sales)
        drafted = [sale for sale in sales if not sale.problem and not sale.outcome]
        self._draft(drafted)
        self._weigh([sale for sale in drafted if sale.draft is not None and sale.problem is None])
        self._write(sales)

    def _look(self, sale: Sale) -> None:
        """What the rows say by themselves."""
        aside = sale.stage in ("skip", "cancelled")
        for row in sale.rows:
            for wrong in row.wrong:
                if not aside or wrong.field in ("external_id", "stage", ""):
                    sale.refuse(wrong.code, wrong.message, wrong.field, wrong.column)
        if sale.problem is None and len(sale.external_id) > 80:
            sale.refuse("id_too_long", "An id has at most 80 characters.", "external_id")
        if len(sale.rows) > 1 and len({row.values.get("stage") for row in sale.rows}) > 1:
            sale.refuse("stages_differ", "The rows of this deal have different stages.", "stage")
        said = [[repr(row.values.get(name)) for name in self.said] for row in sale.rows]
        sale.digest = blake2b(repr(said).encode(), digest_size=16).digest()

    def _only_once(self, sales: Sequence[Sale]) -> None:
        """An id that comes a second time is refused there, in this slice or in a later one."""
        first: dict[str, Sale] = {}
        for sale in sales:
            if sale.external_id and first.setdefault(sale.external_id, sale) is not sale:
                self._again(sale)
        if first:
            for external_id in self.seen.before(list(first)):
                self._again(first[external_id])

    def _again(self, sale: Sale) -> None:
        sale.problem = None
        sale.refuse(
            "id_twice",
            f"{sale.external_id} stands further up already. Rows of one deal follow each other, and the map says that they are its lines."
            if self.context.mapping.several_lines
            else f"{sale.external_id} stands further up already. Where the rows are lines of one deal, say so in the map.",
            "external_id",
            self.context.mapping.columns.get("external_id", ""),
        )

    def _recall(self, sales: Sequence[Sale]) -> None:
        """What is known of these deals from earlier imports, and the deals themselves. 2 queries."""
        named = {
            sale.external_id: sale
            for sale in sales
            if sale.external_id and (sale.problem is None or sale.problem.code != "id_twice")
        }
        for sale in sales:
            if not sale.external_id and sale.problem is None:
                self._compare(sale)
        if not named:
            return
        for record in SourceRecord.objects.filter(
            bulk.any_of("external_id", named, kind="text"), source=self.source
        ):
            named[record.external_id].record = record
        self._recall_deals(named)
        for sale in named.values():
            if self.theirs is not None and self._is_foreign(sale, self.theirs):
                sale.foreign, sale.problem = True, None
                sale.refuse(
                    "not_your_deal",
                    f"{sale.external_id} is here already, and not of the teams that you manage. A comp admin imports it.",
                    "external_id",
                    self.context.mapping.columns.get("external_id", ""),
                )
        compared = [sale for sale in named.values() if sale.problem is None]
        for sale in compared:
            self._compare(sale)
        if not self.context.dry_run:
            self._hold_still([sale for sale in compared if sale.problem is None and sale.moves])

    def _recall_deals(self, named: Mapping[str, Sale]) -> None:
        for deal in Deal.objects.filter(
            bulk.any_of("external_id", named, kind="text"), ~Q(external_id=""), source=self.source
        ).select_related("latest_version", "credited_version", "amended_by"):
            sale = named[deal.external_id]
            sale.deal, sale.deal_id, sale.waiting = deal, deal.pk, deal.amended_at is not None

    def _hold_still(self, sales: Sequence[Sale]) -> None:
        """Lock the deals that may change, in the order that postings keep, and look again: people may have decided meanwhile. 2 statements."""
        held = {sale.external_id: sale for sale in sales if sale.deal is not None}
        if not held:
            return
        engine.lock(engine.ByDeal([sale.deal_id for sale in held.values() if sale.deal_id is not None]))
        self._recall_deals(held)
        for sale in held.values():
            sale.outcome, sale.todo, sale.waits = "", "", ""
            self._compare(sale)

    def _is_foreign(self, sale: Sale, theirs: set[int]) -> bool:
        """Whether what is known of it is none of a manager's business: it is neither changed nor told of."""
        if sale.deal is not None:
            return sale.deal.owner_id not in theirs
        return (
            sale.record is not None
            and sale.record.owner_id is not None
            and sale.record.owner_id not in theirs
        )

    def _compare(self, sale: Sale) -> None:
        record, deal = sale.record, sale.deal
        version = sale.version
        if record is not None and version and record.version and version < record.version:
            sale.outcome = ImportOutcome.LEFT_OUT
            sale.waits = "older"
        elif sale.stage == "skip":
            sale.outcome = ImportOutcome.LEFT_OUT
        elif sale.stage == "cancelled":
            if deal is None or deal.state in ENDED:
                sale.outcome = ImportOutcome.LEFT_OUT
            else:
                sale.outcome, sale.todo = ImportOutcome.CANCELLED, SourceTodo.CANCEL
        elif (
            sale.same_row
            and deal is not None
            and not (
                self.policy is not None
                and sale.stage == "approved"
                and (deal.state == DealState.SUBMITTED or sale.waiting)
            )
        ):
            sale.outcome = ImportOutcome.UNCHANGED
        elif deal is not None and deal.state in ENDED:
            sale.refuse(
                "ended_here",
                f"{deal.reference} was {deal.get_state_display().lower()} in Parity, and the source says that it is not."
                " If it was sold after all, log it anew in Parity or under another id in the source.",
            )
        elif sale.stage == "draft" and deal is not None and deal.state not in booking.EDITABLE:
            sale.refuse(
                "open_again",
                f"{deal.reference} is {deal.get_state_display().lower()}, and the source says that it is open again."
                " Cancel it in Parity if it is not sold; it goes on as it is once the source says won.",
                "stage",
                self.context.mapping.columns.get("stage", ""),
            )

    # --- sales to drafts -----------------------------------------------------------------------------------

    def _draft(self, sales: Sequence[Sale]) -> None:
        self.names.learn(sales)
        originals = self.names.originals(sales)
        for sale in sales:
            if sale.problem is None:
                self._draft_one(sale, originals)

    def _draft_one(self, sale: Sale, originals: Mapping[str, int]) -> None:
        first = sale.first
        owner = self._owner(sale, first["owner"])
        account = self._found(sale, self.names.accounts[first["account"]], "account")
        currency = first["currency"]
        exponent = self.exponents.get(currency)
        if exponent is None:
            sale.refuse("unknown_currency", f"{currency} is not a currency known here.", "currency")
        kind = first.get("kind") or (DealKind.REFUND if first.get("refunds") else DealKind.NEW_BUSINESS)
        if kind == DealKind.CONSUMPTION:
            sale.refuse(
                "consumption_is_usage", "Consumption comes in as usage by month, not as deals.", "kind"
            )
        shares = self._shares(sale, owner)
        lines = []
        for row in sale.rows:
            line = self._line(sale, row.values, exponent or 0)
            if line is not None:
                lines.append(line)
        refunds = None
        if first.get("refunds"):
            refunds = originals.get(first["refunds"])
            if refunds is None:
                sale.refuse(
                    "refund_needs_its_original",
                    f"{first['refunds']}, which this refunds, is not here, or not approved yet. Import the file again when it is.",
                    "refunds",
                )
        if sale.problem is not None or owner is None or account is None:
            return
        sale.draft = DealDraft(
            owner_id=sale.deal.owner_id
            if sale.deal is not None and sale.deal.state == DealState.APPROVED
            else owner,
            customer_id=account,
            kind=kind,
            close_date=first["close_date"],
            currency=currency,
            lines=tuple(lines),
            shares=shares,
            title=first.get("title") or "",
            new_customer=bool(first.get("new_customer")),
            refunds_id=refunds,
            source=self.source,
            external_id=sale.external_id,
        )

    def _line(self, sale: Sale, values: Mapping[str, Any], exponent: int) -> LineDraft | None:
        offering = self._found(sale, self.names.offerings[values["offering"]], "offering")
        if offering is None:
            return None
        plan = None
        if values.get("plan"):
            plan = self.names.plan(offering, values["plan"])
            if plan is None:
                sale.refuse("unknown_plan", f"{values['offering']} has no plan {values['plan']}.", "plan")
        # The currency's own unit is the finest that is counted; sources write more decimals than there are.
        amount = scaled(values["amount"], exponent)
        quantity = values.get("quantity")
        return LineDraft(
            offering_id=offering,
            amount_minor=amount,
            plan_id=plan,
            quantity=quantity if quantity is None or abs(quantity) >= BEYOND else round(quantity, 4),
            term_months=values.get("term_months"),
        )

    def _owner(self, sale: Sale, name: str) -> int | None:
        found = self._found(sale, self.names.owner(name), "owner")
        if found is not None and self.theirs is not None and found not in self.theirs:
            sale.refuse("not_your_deal", f"{name} is in none of the teams that you manage.", "owner")
        return found

    def _shares(self, sale: Sale, owner: int | None) -> tuple[ShareDraft, ...]:
        """As the split columns say, in their order; everything is the owner's where they are empty."""
        splits = [(name, percent) for name, percent in sale.first.get("splits") or () if name]
        if not splits:
            return (ShareDraft(owner, ONE),) if owner is not None else ()
        parts = parts_of([percent or Decimal(0) for _, percent in splits])
        shares = []
        for (name, _percent), ppm in zip(splits, parts, strict=True):
            rep = self._owner(sale, name)
            if rep is not None:
                shares.append(ShareDraft(rep, ppm))
        return tuple(shares)

    def _found(self, sale: Sale, found: int | Wrong, field: str) -> int | None:
        if isinstance(found, Wrong):
            sale.refuse(found.code, found.message, field, self.context.mapping.columns.get(field, ""))
            return None
        return found

    # --- weighing ------------------------------------------------------------------------------------------

    def _weigh(self, sales: Sequence[Sale]) -> None:
        if not sales:
            return
        drafts = [sale.draft for sale in sales if sale.draft is not None]
        deals = [sale.deal for sale in sales]
        approved = [deal for deal in deals if deal is not None and deal.state == DealState.APPROVED]
        for deal in approved:
            deal.amended_by, deal.amended_at = self.context.by, self.context.at
        self.facts = facts = booking.facts_for(drafts, amended=approved, known=self.facts)
        found = booking.weigh(drafts, facts, at=self.context.at, deals=deals)
        stands = self._stands([deal for deal in deals if deal is not None])
        for sale, draft, problems in zip(sales, drafts, found, strict=True):
            if problems:
                self._refuse_for(sale, problems)
            elif sale.wins and draft.close_date > facts.today(
                facts.calendar_of(draft, sale.deal), self.context.at
            ):
                sale.refuse("close_date_in_future", "It is won, and its close date lies ahead.", "close_date")
            elif sale.deal is None:
                sale.outcome = ImportOutcome.NEW
            else:
                self._change(sale, sale.deal, draft, stands[sale.deal.pk])
            if sale.problem is None and sale.stage == "approved":
                self._approve(sale, draft)

    def _stands(self, deals: Sequence[Deal]) -> dict[int, DealDraft]:
        """What Parity has of deals that are known already. 2 queries, none without deals."""
        if not deals:
            return {}
        drafts = booking.drafts_of(
            deals,
            versions=[deal.in_force if deal.state == DealState.APPROVED else deal.latest for deal in deals],
        )
        return {deal.pk: draft for deal, draft in zip(deals, drafts, strict=True)}

    def _change(self, sale: Sale, deal: Deal, draft: DealDraft, stands: DealDraft) -> None:
        if self.facts is None:
            raise AssertionError("drafts are weighed before they are compared")
        lines = tuple(replace(line, line_no=nth) for nth, line in enumerate(draft.lines, start=1))
        said = (
            booking.numbered(deal, draft, self.facts)
            if deal.pk in self.facts.before
            else replace(draft, lines=lines)
        )
        same = booking.same_facts(said, stands) and (said.owner_id, said.customer_id) == (
            stands.owner_id,
            stands.customer_id,
        )
        hands_in = sale.wins and deal.state in booking.EDITABLE
        sale.outcome = ImportOutcome.UNCHANGED if same and not hands_in else ImportOutcome.CHANGED
        by_hand = booking.by_hand(deal.latest, self.source)
        if sale.waiting and same and not by_hand:  # what this source had proposed, it takes back
            sale.takes_back, sale.outcome = True, ImportOutcome.CHANGED
        elif sale.same_row and not same:
            # Nothing new from the source: what waits is what it proposed, or what people made of it, and is theirs.
            sale.outcome, same = ImportOutcome.UNCHANGED, True
            sale.goes_on = not by_hand
        elif sale.waiting and by_hand and not same:
            sale.refuse(
                "amendment_waits",
                f"An amendment of {deal.reference} that was made by hand waits: decide on it, then import the file again.",
            )
        standing = deal.in_force if deal.state == DealState.APPROVED else None
        if (same and by_hand) or (standing is not None and booking.by_hand(standing, self.source)):
            sale.waits = "It was changed by hand since it came in."
        if same:
            sale.draft = None

    def _refuse_for(self, sale: Sale, problems: Sequence[Problem]) -> None:
        first = problems[0]
        more = f" And {len(problems) - 1} more." if len(problems) > 1 else ""
        name = next((part for part in first.pointer.split("/") if part and not part.isdecimal()), "")
        name = {"customer": "account", "lines": "offering", "shares": "owner"}.get(name, name)
        if "/amount" in first.pointer:
            name = "amount"
        sale.refuse(first.code, first.message + more, name, self.context.mapping.columns.get(name, ""))

    def _approve(self, sale: Sale, draft: DealDraft) -> None:
        """Note that the policy approves it, or why it waits for its approver."""
        deal = sale.deal
        if deal is not None and deal.state == DealState.APPROVED and sale.draft is None and not sale.goes_on:
            return
        waits = sale.waits or self._waits(draft)
        if waits:
            sale.waits = waits
            known = waits in self.waiting or len(self.waiting) < MOST_REASONS
            self.waiting[
                waits if known else "The policy leaves them to their approver for reasons like these."
            ] += 1
            return
        sale.todo = SourceTodo.APPROVE
        if sale.outcome == ImportOutcome.UNCHANGED:
            sale.outcome = ImportOutcome.CHANGED

    def _waits(self, draft: DealDraft) -> str:
        if self.policy is None:
            return "No straight-through policy was chosen."
        if self.own & {draft.owner_id, *(share.rep_id for share in draft.shares)}:
            return "You have a share in it yourself."
        minor = sum(line.amount_minor for line in draft.lines)
        if self.limit is not None and self.limit.is_exceeded(minor, draft.currency, draft.close_date):
            return f"It is above the approval limit of {self.limit}: two people approve it."
        return why_waits(self.policy, draft, today=self.context.today)

    # --- writing -------------------------------------------------------------------------------------------

    def _write(self, sales: Sequence[Sale]) -> None:
        for sale in sales:
            self._count(sale)
        if self.context.dry_run:
            self._estimate(sales)
            return
        self._write_new([sale for sale in sales if sale.outcome == ImportOutcome.NEW])
        self._write_changed([sale for sale in sales if sale.outcome == ImportOutcome.CHANGED])
        kept = [sale for sale in sales if self._is_kept(sale)]
        remember(self.context, kept, names=self.names, exponents=self.exponents)

    def _is_kept(self, sale: Sale) -> bool:
        """Whether what the source says is worth keeping: deals, and what would have been one."""
        if (
            not sale.external_id
            or sale.foreign
            or sale.waits == "older"
            or (sale.problem is not None and sale.problem.code in ("id_too_long", "not_your_deal"))
            or (sale.problem is not None and sale.problem.code == "id_twice")
        ):
            return False
        return sale.outcome != ImportOutcome.LEFT_OUT or sale.record is not None or sale.deal is not None

    def _write_new(self, sales: Sequence[Sale]) -> None:
        if self.facts is None:
            return
        for open_still in (True, False):
            chosen = [
                sale for sale in sales if sale.draft is not None and (sale.stage == "draft") == open_still
            ]
            if not chosen:
                continue
            ids = booking.write_deals(
                [sale.draft for sale in chosen if sale.draft is not None],
                self.facts,
                by=self.context.by,
                state=DealState.DRAFT if open_still else DealState.SUBMITTED,
                submitted_by=self.context.by,
                recorded_at_each=[self.context.at] * len(chosen),
            )
            for sale, pk in zip(chosen, ids, strict=True):
                sale.deal_id = pk

    def _write_changed(self, sales: Sequence[Sale]) -> None:
        if self.facts is None or not sales:
            return
        changes = [
            (sale.deal, sale.draft) for sale in sales if sale.deal is not None and sale.draft is not None
        ]
        reason = f"{self.source}: {self.context.run.reference}"
        booking.write_changes(changes, self.facts, by=self.context.by, at=self.context.at, reason=reason)
        booking.take_back(
            [sale.deal for sale in sales if sale.deal is not None and sale.takes_back],
            by=self.context.by,
            at=self.context.at,
            reason=reason,
        )
        booking.hand_in(
            [
                sale.deal.pk
                for sale in sales
                if sale.deal is not None and sale.wins and sale.deal.state in booking.EDITABLE
            ],
            by=self.context.by,
            at=self.context.at,
        )

    # --- telling -------------------------------------------------------------------------------------------

    def _count(self, sale: Sale) -> None:
        context, problem = self.context, sale.problem
        if problem is not None:
            sale.outcome = ImportOutcome.REFUSED
            context.without_id += not sale.external_id
            for row in sale.rows:
                context.refuse(
                    row.line, row.cells, problem.code, problem.message, problem.column, sale.external_id
                )
        elif sale.waits == "older":
            for row in sale.rows:
                context.leave_out(
                    row.line,
                    row.cells,
                    "older_than_known",
                    "A later state of this deal came in before.",
                    context.mapping.columns.get("changed_on", ""),
                    sale.external_id,
                )
        else:
            context.count(sale.outcome, len(sale.rows))
        if len(context.examples) < MOST_EXAMPLES and (sale.draft is not None or problem is not None):
            context.example(example(sale))

    def _estimate(self, sales: Sequence[Sale]) -> None:
        room = MOST_ESTIMATED - len(self.estimated)
        self.estimated += [
            sale.draft
            for sale in sales
            if sale.outcome == ImportOutcome.NEW and sale.wins and sale.draft is not None
        ][:room]

    def _tell(self) -> None:
        gone = note_gone(self.context, theirs=self.theirs) if self.context.options.cancel_gone else 0
        if gone:
            self.context.reasons["gone_from_source"] = gone
        estimated = estimated_credit(self.estimated, self.facts) if self.facts is not None else Estimated()
        self.context.credit |= {
            "gone": gone,
            "waits": [{"why": why, "deals": number} for why, number in self.waiting.most_common()],
            "credit": estimated.by_measure,
            "nothing": estimated.nothing,
            "estimated": len(self.estimated),
        }


def parts_of(percents: Sequence[Decimal]) -> list[int]:
    """Percents as parts per million. Of thirds and the like, which a source has rounded, the first gets what is left to the whole."""
    parts = [scaled(each, DECIMALS_OF_PERCENT) for each in percents]
    digits = min((-int(each.as_tuple().exponent) for each in percents), default=0)
    left = ONE - sum(parts)
    if digits > 0 and parts and abs(left) * 2 * 10**digits <= len(parts) * 10**DECIMALS_OF_PERCENT:
        parts[0] += left
    return parts
