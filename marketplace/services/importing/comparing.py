"""What a row means for the catalog: new, changed, unchanged, or in disagreement, and the change set items that would follow."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final

from config import house as formats
from config.house import iso
from marketplace.importers import benchmarks, genai_prices, litellm, models_dev
from marketplace.importers.providers import Place, Seller, maker_of, place_of, seller_of
from marketplace.importers.rows import (
    EvaluationFacts,
    ListingFacts,
    ModelFacts,
    PlanFacts,
    PriceLine,
    PriceSpan,
    Row,
    day_in,
    fitting,
    named_by_digest,
    plain,
    slug,
)
from marketplace.models import ImportSource, Offering, Operation, Origin, Plan, RowOutcome
from marketplace.services.change_sets.shapes import RESERVED
from marketplace.services.importing.snapshot import Price, Snapshot

PPM: Final = 1_000_000
LABELS: Final[Mapping[str, str]] = {
    ImportSource.GENAI_PRICES: genai_prices.LABEL,
    ImportSource.LITELLM: litellm.LABEL,
    ImportSource.MODELS_DEV: models_dev.LABEL,
    ImportSource.EVALUATIONS: benchmarks.CSV_LABEL,
    ImportSource.AIDER: benchmarks.AIDER_LABEL,
}
ASSUMED: Final = "Assumed: the price list does not say how it is sold"
ZONE_PLANS: Final = {
    "eu": ("data-zone-eu", "Data zone EU", "data-zone-standard"),
    "us": ("data-zone-us", "Data zone US", "data-zone-standard"),
    "global": ("global-standard", "Global standard", "global-standard"),
}
# Words of a benchmark's name that say which task it is about, where the catalog has no result of it yet.
TASKS: Final = (
    (("swe", "aider", "code", "terminal", "nl2repo", "livecode"), "coding"),
    (("agent", "claw", "tau"), "agents"),
    (("hallucination", "hhem", "grounded"), "groundedness"),
    (("cti", "security"), "security"),
    (("gpqa", "humanity", "reasoning", "mrcr"), "reasoning"),
)
CORE: Final = frozenset(
    models_dev.CAPABILITIES
)  # others fill a version of which nothing is known, and no more
FACT_NAMES: Final = {
    "context_window": "context window",
    "max_output": "most output tokens",
    "modalities_in": "what it reads",
    "modalities_out": "what it writes",
    "knowledge_cutoff": "knowledge cut-off",
    "released_on": "day of release",
    "capabilities": "capabilities",
}

Item = dict[str, Any]


@dataclass(slots=True)
class Dispute:
    """One field on which a row and the catalog differ."""

    offering_id: int
    plan_id: int | None
    field: str
    ours: str
    ours_from: str
    theirs: str
    theirs_from: str
    ppm: int | None
    items: list[Item]


@dataclass(slots=True)
class Understood:
    """One row with what becomes of it."""

    row: Row
    outcome: str
    code: str = ""
    message: str = ""
    items: list[Item] = field(default_factory=list)
    offering_id: int | None = None
    plan_id: int | None = None
    disputes: list[Dispute] = field(default_factory=list)


@dataclass(slots=True)
class _New:
    """A new offering that an earlier row of the file makes."""

    number: int
    slug: str
    facts: ListingFacts
    plans: dict[str, tuple[PriceSpan, ...]]


@dataclass(slots=True)
class _Met:
    row: Row
    facts: ListingFacts
    seller: Seller
    place: Place
    offering_id: int | None
    plan_id: int | None


def understand(rows: Iterable[Row], *, source: str, on: date, operator: str) -> list[Understood]:
    """What becomes of each row, in the order of the file. About 10 queries, whatever the number of rows."""
    evaluating = source in (ImportSource.EVALUATIONS, ImportSource.AIDER, ImportSource.MODELS_DEV)
    now = Snapshot.take(source=source, on=on, evaluations=evaluating)
    reader = _Reader(now, source, on, operator)
    first = [reader.meet(row) for row in rows]
    now.read_prices({met.offering_id for met in first if isinstance(met, _Met) and met.offering_id})
    return [reader.listing(met) if isinstance(met, _Met) else met for met in first]


class _Reader:
    """Keeps what earlier rows of the same file have brought up."""

    def __init__(self, now: Snapshot, source: str, on: date, operator: str) -> None:
        self.now, self.source, self.on, self.operator = now, source, on, operator
        self.label = LABELS[source]
        self.new: dict[str, _New] = {}
        self.stems: dict[tuple[str, str], list[_New]] = {}
        self.names: set[str] = set()
        self.priced: dict[int, tuple[int, tuple[PriceSpan, ...]]] = {}
        self.results: set[tuple[Any, ...]] = set()

    # Which thing a row is about

    def meet(self, row: Row) -> Understood | _Met:
        if row.facts is None:
            return Understood(row, row.outcome, row.code, row.message)
        if isinstance(row.facts, EvaluationFacts):
            return self.result(row, row.facts)
        if isinstance(row.facts, ModelFacts):
            return self.model(row, row.facts)
        seller = seller_of(row.provider, row.facts.provider_name, self.operator)
        place = place_of(row.provider, row.key)
        offering_id, plan_id = self.now.alias_of(self.alias_name(row))
        if offering_id is None:
            offering_id = self.now.offering_named(seller, place)
        return _Met(row, row.facts, seller, place, offering_id, plan_id)

    def alias_name(self, row: Row) -> str:
        """The name under which the source lists it, alone of its kind there."""
        alone = self.source == ImportSource.LITELLM or row.key.startswith(f"{row.provider}/")
        name = row.key if alone else f"{row.provider}/{row.key}"
        return fitting(name, 200)

    def listing(self, met: _Met) -> Understood:
        if met.offering_id is not None:
            return self.compared(met, self.now.offerings[met.offering_id])
        return self.created(met)

    # A new offering

    def created(self, met: _Met) -> Understood:
        row, facts, seller, place = met.row, met.facts, met.seller, met.place
        publisher = maker_of(place.key) if seller.own_cloud else seller.slug
        if not publisher:
            return self.left(
                row, "maker_unknown", "Nothing says who makes it: an offering needs its publisher."
            )
        own_name = slug(place.key.rsplit("/", 1)[-1]) if seller.own_cloud else slug(place.key)
        if not own_name and not place.key.strip():
            return self.refused(row, "no_name", "It has no name.")
        own_name = own_name or named_by_digest("model", place.key)
        plans = [self.placed(plan, met) for plan in facts.plans]
        name = self.free_slug(publisher, own_name, seller)
        known = self.new.get(name) or self.twin(publisher, own_name, facts, plans)
        if known is not None:
            return self.again(row, known, plans)
        spans = {plan.slug: plan.prices for plan in plans}
        made = _New(row.number, name, facts, spans)
        self.new[name] = made
        self.stems.setdefault((publisher, _stem(own_name)), []).append(made)
        body = self.offering_body(row, facts, seller, publisher, name, own_name, plans)
        said = list(row.notes)
        code = ""
        if facts.retires_on is not None and facts.retires_on <= self.on:
            code = "retired"
            said.insert(
                0, f"It retired on {facts.retires_on:%-d %b %Y}: it can be recorded, and nobody can sell it."
            )
        return Understood(
            row, RowOutcome.NEW, code, _sentences(said), [_item(Operation.OFFERING_CREATE, body)]
        )

    def free_slug(self, publisher: str, own_name: str, seller: Seller) -> str:
        """The catalog's name of it: the model's own for its maker, with the seller before it for everybody else."""
        resold = (
            not seller.own_cloud and not own_name.startswith(publisher) and maker_of(own_name) != publisher
        )
        name = fitting(f"{publisher}-{own_name}" if resold else own_name, 80)
        if name in self.now.by_slug:
            name = fitting(f"{publisher}-{own_name}", 80)
        if name in self.now.by_slug or name in RESERVED:
            name = fitting(f"{publisher}-{own_name}-{self.source}", 80)
        return name

    def twin(
        self, publisher: str, own_name: str, facts: ListingFacts, plans: Sequence[PlanFacts]
    ) -> _New | None:
        """A row above that says the same of the same model under its name with or without a day."""
        spans = {plan.slug: plan.prices for plan in plans}
        for other in self.stems.get((publisher, _stem(own_name)), ()):
            same = other.facts
            if (
                other.plans == spans
                and same.facts == facts.facts
                and (same.retires_on or facts.retires_on) == (facts.retires_on or same.retires_on)
            ):
                return other
        return None

    def again(self, row: Row, known: _New, plans: Sequence[PlanFacts]) -> Understood:
        """A further row about an offering that the file itself brings: another name of it, or another plan."""
        items: list[Item] = []
        added = []
        for plan in plans:
            if plan.slug not in known.plans:
                items.append(
                    _item(Operation.PLAN_CREATE, {"offering": known.slug, **self.plan_body(plan, row)})
                )
                known.plans[plan.slug] = plan.prices
                added.append(plan.name)
            elif known.plans[plan.slug] != plan.prices:
                return self.refused(
                    row,
                    "two_prices",
                    f"Row {known.number} of the same file gives another price for the same plan of {known.slug}.",
                )
        alias = self.alias_body(row, offering=known.slug)
        if alias is not None:
            items.append(_item(Operation.ALIAS_ADD, alias))
        if added:
            said = f"{', '.join(added)}: of the new offering {known.slug} of row {known.number}."
            return Understood(row, RowOutcome.NEW, "further_plan", _sentences([said, *row.notes]), items)
        said = f"The same as row {known.number} under another name: an alias of {known.slug}."
        return Understood(row, RowOutcome.NEW, "second_name", _sentences([said, *row.notes]), items)

    def placed(self, plan: PlanFacts, met: _Met) -> PlanFacts:
        """The plan with what the model's name says of where and how."""
        zone, variant = met.place.zone, met.place.variant
        its_slug, name, deployment = plan.slug, plan.name, plan.deployment
        if zone and plan.slug == "standard" and zone in ZONE_PLANS and met.seller.own_cloud:
            its_slug, name, deployment = ZONE_PLANS[zone]
        elif zone:
            its_slug, name = f"{plan.slug}-{zone}", f"{plan.name}, {zone.upper() if len(zone) < 4 else zone}"
        if variant:
            its_slug, name = f"{its_slug}-{variant}", f"{name}, {variant.replace('-x-', '×')}"
            deployment = deployment or fitting(variant, 30)
        return PlanFacts(
            fitting(its_slug, 60),
            name[:120],
            plan.pricing_form,
            plan.prices,
            plan.processing_tier,
            deployment,
            zone or plan.zone,
        )

    def offering_body(
        self,
        row: Row,
        facts: ListingFacts,
        seller: Seller,
        publisher: str,
        name: str,
        own_name: str,
        plans: Sequence[PlanFacts],
    ) -> dict[str, Any]:
        known = self.now.publishers.get(publisher)
        retired = facts.retires_on is not None and facts.retires_on <= self.on
        body: dict[str, Any] = {
            "slug": name,
            "name": facts.name,
            "kind": "model",
            "publisher": publisher
            if known is not None
            else {"slug": publisher, "name": seller.name or publisher.title(), "origin": Origin.THIRD.value},
            "summary": f"As {self.label} lists it under {row.provider}."[:400],
            "commercial_path": "marketplace",
            "path_basis": f"{ASSUMED} ({self.label})"[:200],
            "path_assumed": True,
            "available_on": None if retired else iso(facts.available_on or self.on),
            "model": self.model_body(facts, publisher, name, own_name),
            "plans": [self.plan_body(plan, row, retires_on=facts.retires_on) for plan in plans],
        }
        if facts.retires_on is not None:
            body["retires_on"] = iso(facts.retires_on)
        alias = self.alias_body(row)
        body["aliases"] = [alias] if alias is not None else []
        return body

    def model_body(self, facts: ListingFacts, publisher: str, name: str, own_name: str) -> dict[str, Any]:
        its_day = day_in(own_name)
        stem = _stem(own_name)
        model = self.now.models.get(stem)
        of_known = its_day is not None and model is not None and model.publisher.slug == publisher
        label = its_day or facts.facts.get("released_on")
        return {
            "slug": stem if of_known else name,
            "version": label.isoformat() if label is not None else "as listed",
            "name": facts.name,
            "family": facts.family or fitting(name, 60),
            **({"open_weights": facts.open_weights} if facts.open_weights is not None else {}),
            **{key: _json(value) for key, value in facts.facts.items()},
        }

    def plan_body(self, plan: PlanFacts, row: Row, *, retires_on: date | None = None) -> dict[str, Any]:
        prices = []
        for span in self.kept_spans(plan.prices):
            end = min((d for d in (span.end, retires_on) if d is not None), default=None)
            if end is not None and span.start is not None and end <= span.start:
                continue
            prices.append(
                {
                    "market": "world",
                    "currency": "USD",
                    "start": iso(span.start),
                    "end": iso(end),
                    "source": self.stated(row),
                    "rows": [_line_body(line) for line in span.lines],
                }
            )
        return {
            "slug": plan.slug,
            "name": plan.name,
            "deployment": plan.deployment,
            "processing_tier": plan.processing_tier,
            "zone": plan.zone,
            "pricing_form": plan.pricing_form,
            "is_public": True,
            "prices": prices,
        }

    def kept_spans(self, spans: Sequence[PriceSpan]) -> list[PriceSpan]:
        """With a first day each: what held before the source's first day is taken from the day on which it speaks, if it still holds."""
        found = []
        for span in spans:
            if span.start is not None:
                found.append(span)
            elif span.end is None or span.end > self.on:
                found.append(PriceSpan(self.on, span.end, span.lines))
        return found

    def alias_body(self, row: Row, **stands_for: str) -> dict[str, Any] | None:
        name = self.alias_name(row)
        if name.lower() in self.names or name.lower() in self.now.aliases:
            return None
        self.names.add(name.lower())
        return {"used_by": str(self.source), "name": name, "start": iso(self.on), **stands_for}

    def stated(self, row: Row) -> str:
        return f"{self.theirs_from(row)[:180]}, as of {self.on.isoformat()}"

    # An offering that is there

    def compared(self, met: _Met, offering: Offering) -> Understood:
        row, facts = met.row, met.facts
        done = Understood(row, RowOutcome.UNCHANGED, offering_id=offering.pk, plan_id=met.plan_id)
        said: list[str] = []
        for plan in facts.plans:
            self.compare_plan(met, offering, self.placed(plan, met), done, said)
        self.compare_model(offering, facts, row, done, said)
        if self.is_ours(met):
            self.compare_end(offering, facts, row, done, said)
        if done.disputes:
            done.outcome, done.code = RowOutcome.DISAGREES, "disagrees"
        elif done.items:
            done.outcome = RowOutcome.CHANGED
        done.message = _sentences([*said, *row.notes])
        return done

    def is_ours(self, met: _Met) -> bool:
        """The row is about the very thing that is sold here, not about the same model as another seller has it."""
        return met.seller.own_cloud or self.alias_name(met.row).lower() in self.now.aliases

    def compare_plan(
        self, met: _Met, offering: Offering, facts: PlanFacts, done: Understood, said: list[str]
    ) -> None:
        plan = (
            next((p for p in self.now.plans[offering.pk] if p.pk == met.plan_id), None)
            if met.plan_id is not None
            else self.now.plan_like(offering.pk, facts, met.place.zone or facts.zone)
        )
        if plan is None:
            body = self.plan_body(facts, met.row, retires_on=offering.retires_on)
            if not self.is_ours(met):
                said.append(
                    f"{facts.name}: {met.seller.name} sells it like that as well; no plan here is like it."
                )
                return
            if self.retired(offering) or not body["prices"] or f"{offering.slug}/{facts.slug}" in self.names:
                return
            self.names.add(f"{offering.slug}/{facts.slug}")
            done.items.append(_item(Operation.PLAN_CREATE, {"offering": offering.slug, **body}))
            done.code = done.code or "new_plan"
            said.append(f"{facts.name}: a plan that {offering.name} does not have yet.")
            return
        done.plan_id = done.plan_id or plan.pk
        if self.retired(offering):
            return
        before = self.priced.setdefault(plan.pk, (met.row.number, facts.prices))
        repeated = before[0] != met.row.number
        for span in self.kept_spans(facts.prices):
            if span.start is None or (span.end is not None and span.end <= self.on):
                continue
            if span.start <= self.on:
                self.compare_now(met, offering, plan, span, done, said, repeated=repeated)
            elif not repeated and self.is_ours(met):
                self.announce(met.row, offering, plan, span, done, said)

    def retired(self, offering: Offering) -> bool:
        return offering.retires_on is not None and offering.retires_on <= self.on

    def compare_now(
        self,
        met: _Met,
        offering: Offering,
        plan: Plan,
        span: PriceSpan,
        done: Understood,
        said: list[str],
        *,
        repeated: bool,
    ) -> None:
        """The price of the day against ours of the same day. What another seller charges can disagree, and adds nothing."""
        row, mine = met.row, self.is_ours(met)
        ours = self.now.price_of(plan.pk, self.on)
        theirs = {(line.meter, line.tier_from, line.above_context): line for line in span.lines}
        if ours is None:
            later = [p.start for p in self.now.prices.get(plan.pk, ()) if p.start is not None]
            if not repeated and mine:
                end = min([d for d in (*later, offering.retires_on) if d is not None], default=None)
                done.items.append(self.price_item(row, offering, plan, span.lines, end=end))
                done.code = done.code or "price_where_none_was"
                said.append(f"{plan.name}: no price is in effect here; the source has one.")
            return
        differing = [
            (line, ours.lines[key])
            for key, line in theirs.items()
            if line.amount is not None and key in ours.lines and not _same(line, ours.lines[key])
        ]
        more = [line for key, line in theirs.items() if key not in ours.lines and line.amount is not None]
        if not differing:
            if more and not repeated and mine:
                done.items.append(self.price_item(row, offering, plan, _merged(ours, more), after=ours))
                done.code = done.code or "more_meters"
                meters = ", ".join(dict.fromkeys(_worded(line) for line in more))
                said.append(f"{plan.name}: the source also has a price for {meters}.")
            return
        if mine and not repeated and _from(self.source, ours.source):
            if ours.start is None or ours.start < self.on:
                lines = _merged(ours, [*(line for line, _ in differing), *more])
                done.items.append(self.price_item(row, offering, plan, lines, after=ours))
                done.code = done.code or "new_price"
                said.append(f"{plan.name}: {_moves(differing)} since ours of {ours.start or 'before'}.")
                return
            if ours.start > self.on:
                said.append(f"{plan.name}: ours is newer.")
                return
        for line, our in differing:
            one = _merged(ours, [line])
            done.disputes.append(
                Dispute(
                    offering.pk,
                    plan.pk,
                    f"price:{line.meter}" + (f":above-{line.above_context}" if line.above_context else ""),
                    _amount(our[2], our[0], our[1]),
                    ours.source[:200],
                    _amount(line.amount, line.per, line.unit),
                    self.theirs_from(row),
                    _ppm(line, our),
                    [self.price_item(row, offering, plan, one, after=ours)],
                )
            )
        said.append(f"{plan.name}: {_moves(differing)} against ours ({ours.source.split(';')[0][:90]}).")

    def announce(
        self, row: Row, offering: Offering, plan: Plan, span: PriceSpan, done: Understood, said: list[str]
    ) -> None:
        """A price that begins later, unless ours has one from then on already."""
        if span.start is None or (offering.retires_on is not None and offering.retires_on <= span.start):
            return
        ours = self.now.price_of(plan.pk, span.start)
        theirs = {(line.meter, line.tier_from, line.above_context): line for line in span.lines}
        if ours is not None and all(
            key in ours.lines and _same(line, ours.lines[key])
            for key, line in theirs.items()
            if line.amount is not None and key in ours.lines
        ):
            return
        if ours is not None and ours.start == span.start:
            return
        lines = _merged(ours, list(span.lines)) if ours is not None else list(span.lines)
        done.items.append(self.price_item(row, offering, plan, lines, start=span.start, after=ours))
        done.code = done.code or "announced_price"
        said.append(f"{plan.name}: another price from {span.start:%-d %b %Y}.")

    def price_item(
        self,
        row: Row,
        offering: Offering,
        plan: Plan,
        lines: Sequence[PriceLine],
        *,
        start: date | None = None,
        end: date | None = None,
        after: Price | None = None,
    ) -> Item:
        """after: the price that it ends; one that begins on the same day is corrected instead."""
        start = start or self.on
        rows = [_line_body(line) for line in lines]
        if after is not None and after.start == start:
            return _item(
                Operation.PRICE_CORRECT,
                {
                    "offering": offering.slug,
                    "price_version": after.id,
                    "source": self.stated(row),
                    "rows": rows,
                },
            )
        return _item(
            Operation.PRICE_ADD,
            {
                "offering": offering.slug,
                "plan": plan.slug,
                "market": "world",
                "currency": "USD",
                "start": iso(start),
                "end": iso(after.end if after is not None else end),
                "source": self.stated(row),
                "rows": rows,
                "ends_previous": after is not None,
            },
        )

    def theirs_from(self, row: Row) -> str:
        return f"{self.label}, {self.alias_name(row)}"[:200]

    def compare_model(
        self,
        offering: Offering,
        facts: ListingFacts | ModelFacts,
        row: Row,
        done: Understood,
        said: list[str],
    ) -> None:
        version = offering.model_version
        if version is None:
            return
        fills: dict[str, Any] = {}
        for name, value in facts.facts.items():
            ours = getattr(version, name)
            if name == "capabilities":
                merged = dict(ours) | {
                    k: v for k, v in value.items() if ours.get(k) is None and (k in CORE or not ours)
                }
                if merged != ours:
                    fills[name] = merged
                for word, said_so in value.items():
                    if ours.get(word) is not None and ours[word] != said_so:
                        taken = dict(ours) | {word: said_so}
                        self.dispute(
                            done,
                            said,
                            offering,
                            row,
                            f"capability:{word}",
                            _yes(ours[word]),
                            _yes(said_so),
                            {name: taken},
                        )
            elif ours in (None, "", []):
                fills[name] = value
            elif not _agrees(name, ours, value):
                self.dispute(
                    done, said, offering, row, name, _worded_fact(ours), _worded_fact(value), {name: value}
                )
        if facts.open_weights is not None and version.model.open_weights is None:
            fills["open_weights"] = facts.open_weights
        key = f"model:{version.pk}"
        fills = {name: value for name, value in fills.items() if f"{key}:{name}" not in self.names}
        if fills:
            self.names |= {f"{key}:{name}" for name in fills}
            done.items.append(_item(Operation.MODEL_UPDATE, self.model_update(offering, fills)))
            done.code = done.code or "more_facts"
            words = ", ".join(FACT_NAMES.get(name, name.replace("_", " ")) for name in fills)
            said.append(f"The source knows what was unknown here: {words}.")

    def model_update(self, offering: Offering, facts: Mapping[str, Any]) -> dict[str, Any]:
        version = offering.model_version
        if version is None:
            return {}
        return {
            "model": version.model.slug,
            "version": version.label,
            **{name: _json(value) for name, value in facts.items()},
        }

    def dispute(
        self,
        done: Understood,
        said: list[str],
        offering: Offering,
        row: Row,
        name: str,
        ours: str,
        theirs: str,
        facts: Mapping[str, Any],
    ) -> None:
        label = FACT_NAMES.get(name) or name.replace(":", " ").replace("_", " ")
        said.append(f"{label[:1].upper()}{label[1:]}: {theirs} against ours, {ours}.")
        done.disputes.append(
            Dispute(
                offering.pk,
                None,
                name[:80],
                ours[:200],
                "The catalog's facts of its model",
                theirs[:200],
                self.theirs_from(row),
                _ppm_of(theirs, ours),
                [_item(Operation.MODEL_UPDATE, self.model_update(offering, facts))],
            )
        )

    def compare_end(
        self, offering: Offering, facts: ListingFacts, row: Row, done: Understood, said: list[str]
    ) -> None:
        theirs, ours = facts.retires_on, offering.retires_on
        if theirs is None or theirs == ours:
            return
        verb = "retired" if theirs <= self.on else "retires"
        said.append(
            f"The source says that it {verb} on {theirs:%-d %b %Y}; ours: {formats.day(ours, 'no day')}."
        )
        done.disputes.append(
            Dispute(
                offering.pk,
                None,
                "retires_on",
                formats.day(ours, "no day"),
                "The catalog's own dates",
                f"{theirs:%-d %b %Y}",
                self.theirs_from(row),
                None,
                [
                    _item(
                        Operation.OFFERING_RETIRE,
                        {"slug": offering.slug, "retires_on": iso(theirs), "replacement": None},
                    )
                ],
            )
        )

    # Models and results

    def model(self, row: Row, facts: ModelFacts) -> Understood:
        maker = seller_of(facts.maker, "", "").slug if facts.maker else ""
        named = self.now.version_named(row.key, maker)
        offering_id = None
        if named is not None:
            version = self.now.versions[named]
            offering_id = next(
                (o.pk for o in self.now.offerings.values() if o.model_version_id == version.pk), None
            )
        items, refusal = self.evaluations(row, facts.evaluations, named)
        if refusal is not None:
            return refusal
        if offering_id is None and not items:
            if facts.evaluations:
                return Understood(row, RowOutcome.UNCHANGED, "", "Every result of it is in the catalog.")
            return self.left(
                row, "no_offering", "The catalog sells no such model, and the row has no result."
            )
        done = Understood(row, RowOutcome.UNCHANGED, items=items, offering_id=offering_id)
        said = (
            [f"{len(items)} result{'s' if len(items) > 1 else ''} that the catalog does not have."]
            if items
            else []
        )
        done.code = "more_results" if items else ""
        if offering_id is not None:
            self.compare_model(self.now.offerings[offering_id], facts, row, done, said)
        if done.disputes:
            done.outcome, done.code = RowOutcome.DISAGREES, "disagrees"
        elif done.items:
            done.outcome = RowOutcome.CHANGED
        done.message = _sentences([*said, *row.notes])
        return done

    def result(self, row: Row, facts: EvaluationFacts) -> Understood:
        items, refusal = self.evaluations(row, [facts], self.now.version_named(facts.subject))
        if refusal is not None:
            return refusal
        if not items:
            return Understood(
                row, RowOutcome.UNCHANGED, "", _sentences(["The catalog has this result.", *row.notes])
            )
        changed = items[0].pop("replaces", None)
        if changed is not None:
            return Understood(
                row, RowOutcome.CHANGED, "newer_result", _sentences([changed, *row.notes]), items
            )
        model = items[0]["body"].get("model")
        said = [] if model else ["Its name means no one model of the catalog: kept under the name alone."]
        return Understood(row, RowOutcome.NEW, "", _sentences([*said, *row.notes]), items)

    def evaluations(
        self, row: Row, results: Sequence[EvaluationFacts], named: tuple[str, str] | None
    ) -> tuple[list[Item], Understood | None]:
        """Items for the results that are not there yet; or why the row cannot be taken."""
        items: list[Item] = []
        for one in results:
            benchmark = str(one.facts["benchmark"])
            area = one.task_area or self.now.area_of.get(slug(benchmark)) or _task_of(benchmark)
            if area not in self.now.areas:
                return [], self.left(
                    row,
                    "task_unknown",
                    f"Nothing says which task {benchmark} is about; a result belongs to one.",
                )
            key = tuple(
                str(part).lower()
                for part in (
                    one.subject,
                    benchmark,
                    one.facts.get("benchmark_version", ""),
                    one.facts["metric"],
                    one.facts["harness"],
                    one.facts["variant"],
                    one.facts["source"],
                )
            )
            score, dated = one.facts.get("score"), one.facts.get("dated")
            if (*key, score, dated) in self.results:
                if len(results) == 1:
                    return [], self.left(row, "said_twice", "The file has this very result above already.")
                continue
            self.results.add((*key, score, dated))
            there = self.now.results.get(key, [])
            if any(t.score == score and (t.dated == dated or None in (t.dated, dated)) for t in there):
                continue
            clash = next((t for t in there if t.dated == dated), None)
            if clash is not None:
                return [], Understood(
                    row,
                    RowOutcome.DISAGREES,
                    "other_score",
                    f"The catalog has {_number(clash.score)} for the same model, setting and day; the file says {_number(score)}.",
                )
            model, version = named or (None, None)
            body = {
                "task_area": area,
                "model": model,
                "version": version,
                "subject": one.subject,
                **{name: _json(value) for name, value in one.facts.items()},
            }
            item = _item(Operation.EVALUATION_ADD, body)
            if there and len(results) == 1:
                item["replaces"] = (
                    f"The catalog has {_number(there[-1].score)} of {there[-1].dated or 'no day'};"
                    f" this is {_number(score)} of {dated or 'no day'}. Both are kept."
                )
            items.append(item)
        return items, None

    def left(self, row: Row, code: str, message: str) -> Understood:
        return Understood(row, RowOutcome.LEFT_OUT, code, message)

    def refused(self, row: Row, code: str, message: str) -> Understood:
        return Understood(row, RowOutcome.REFUSED, code, message)


def _item(operation: Operation, body: Mapping[str, Any]) -> Item:
    return {"operation": operation.value, "body": dict(body)}


def _line_body(line: PriceLine) -> Item:
    return {
        "meter": line.meter,
        "per": line.per,
        "unit": line.unit,
        "tier_from": line.tier_from,
        "above_context": line.above_context,
        "amount": plain(line.amount) if line.amount is not None else None,
    }


def _same(line: PriceLine, our: tuple[int, str, Decimal | None]) -> bool:
    per, _unit, amount = our
    return amount is not None and line.amount is not None and amount * line.per == line.amount * per


def _merged(ours: Price, theirs: Sequence[PriceLine]) -> list[PriceLine]:
    """Ours with theirs in the place of the same meter, and theirs that ours does not have."""
    taken = {(line.meter, line.tier_from, line.above_context): line for line in theirs}
    kept = [
        taken.pop(key) if key in taken else PriceLine(key[0], per, unit, amount, key[2], key[1])
        for key, (per, unit, amount) in ours.lines.items()
    ]
    return [*kept, *taken.values()]


def _from(source: str, stated: str) -> bool:
    """The figures came from this source: it is named before the first semicolon, where other sources are only quoted."""
    label = {ImportSource.GENAI_PRICES: "genai-prices"}.get(ImportSource(source), LABELS[source])
    return label.lower() in stated.split(";")[0].lower()


def _amount(amount: Decimal | None, per: int, unit: str) -> str:
    if amount is None:
        return "unknown"
    of = "million " if per == PPM else "" if per == 1 else f"{per:,} "
    return f"{plain(amount)} USD per {of}{unit}{'s' if per > 1 and not unit.endswith('y') else ''}"


def _ppm(line: PriceLine, our: tuple[int, str, Decimal | None]) -> int | None:
    per, _unit, amount = our
    if not amount or line.amount is None:
        return None
    ours = amount / per
    return max(min(int((line.amount / line.per - ours) / ours * PPM), 10**15), -(10**15))


def _ppm_of(theirs: str, ours: str) -> int | None:
    one, other = theirs.replace(",", ""), ours.replace(",", "")
    if not (one.isdigit() and other.isdigit()) or int(other) == 0:
        return None
    return int((Decimal(one) - Decimal(other)) / Decimal(other) * PPM)


def _moves(differing: Sequence[tuple[PriceLine, tuple[int, str, Decimal | None]]]) -> str:
    return ", ".join(
        f"{_worded(line)} {_number(line.amount)} instead of {_number(our[2])}"
        + (f" ({_percent(ppm)})" if (ppm := _ppm(line, our)) is not None else "")
        for line, our in differing
    )


def _percent(ppm: int) -> str:
    sign = "+" if ppm > 0 else "−"
    return f"{sign}{abs(ppm) / 10_000:.0f} %" if abs(ppm) >= 10_000 else f"{sign}{abs(ppm) / 10_000:.2g} %"


def _worded(line: PriceLine) -> str:
    above = f" above {line.above_context:,} tokens" if line.above_context else ""
    return line.meter.replace("-", " ") + above


def _number(value: Any) -> str:
    return plain(Decimal(value).normalize()) if value is not None else "unknown"


def _agrees(name: str, ours: Any, theirs: Any) -> bool:
    """A list agrees that says no more than ours; a date agrees that is only less precise."""
    if isinstance(ours, list):
        return set(theirs) <= set(ours)
    if name == "knowledge_cutoff":
        return bool(str(ours).startswith(theirs) or str(theirs).startswith(ours))
    return bool(ours == theirs) or name == "released_on"


def _worded_fact(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _yes(value: object) -> str:
    return "yes" if value else "no"


def _task_of(benchmark: str) -> str:
    name = benchmark.lower()
    return next((task for words, task in TASKS if any(word in name for word in words)), "")


def _stem(name: str) -> str:
    """A model's name without its day and without what only says that it is the latest: both may name the same."""
    found = day_in(name)
    if found is not None:
        name = name.replace(found.isoformat(), "").replace(f"{found:%Y%m%d}", "")
    name = name.removesuffix("-latest").removesuffix("-v1-0").strip("-")
    return name.replace("--", "-") or "unnamed"


def _json(value: Any) -> Any:
    match value:
        case Decimal():
            return plain(value)
        case date():
            return value.isoformat()
        case tuple() | list():
            return [_json(v) for v in value]
        case Mapping():
            return {k: _json(v) for k, v in value.items()}
    return value


def _sentences(said: Iterable[str]) -> str:
    text = " ".join(s for s in said if s)
    return text if len(text) <= 500 else f"{text[:499]}…"
