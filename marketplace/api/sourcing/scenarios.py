"""Scenarios over REST: those who buy and audit read them with what they come to; sourcing leads make them, and another one promotes."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from django.db.models import QuerySet
from django.http import Http404
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from config import clock
from config.formats import iso
from config.refusals import Problem, refuse_if_any
from config.rest.fields import MONEY_SCHEMA, money
from config.rest.filters import Choices, Flag
from config.rest.serializers import Strict
from config.rest.views import Resources
from marketplace.api.resources import DAY, TEXT, rate
from marketplace.api.sourcing.substitutions import NamedVersion, VersionName
from marketplace.models import (
    Company,
    Feature,
    ModelVersion,
    MoveKind,
    Plan,
    Scenario,
    ScenarioMove,
    ScenarioState,
)
from marketplace.selectors.sourcing.access import reads_sourcing
from marketplace.selectors.sourcing.scenario import Mean, Outcome, Side, evaluate
from marketplace.selectors.sourcing.scenario_mix import ONE
from marketplace.selectors.sourcing.scenarios import in_words, moves_of, scenarios_for
from marketplace.services.sourcing import scenarios as service
from marketplace.services.sourcing.access import must_lead_sourcing
from marketplace.services.sourcing.scenarios import (
    LONGEST_DECISION,
    LONGEST_NAME,
    LONGEST_NOTE,
    MOST_MONTHS,
    MoveDraft,
    ScenarioDraft,
)

BY_ID: Final = OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)
VERDICTS: Final = [(word, word) for word in ("better", "worse", "level", "same", "unknown")]
DECISIONS: Final = [("promote", "promote"), ("decline", "decline")]


@extend_schema_field({**MONEY_SCHEMA, "type": ["object", "null"]})
class Cost(serializers.JSONField):
    """{"amount", "currency"}; null is not known."""


# --- what is read -----------------------------------------------------------------------------------------


class PlanName(serializers.Serializer[Any]):
    offering = TEXT(help_text="Slug.")
    plan = TEXT(help_text="Slug.")


class MoveRecord(serializers.Serializer[Any]):
    """What does not belong to its kind is null; so is the feature of a share that moves in every feature."""

    kind = serializers.ChoiceField(choices=MoveKind.choices)
    text = TEXT()
    feature = TEXT(allow_null=True, help_text="Slug.")
    source = NamedVersion(allow_null=True)  # type: ignore[assignment]
    target = NamedVersion(allow_null=True)
    share = TEXT(allow_null=True, help_text="Of the source's own share, as a decimal: 0.5.")
    plan = PlanName(allow_null=True)
    change = TEXT(allow_null=True, help_text="Of the price, as a decimal: -0.1 is ten per cent cheaper.")
    supplier = TEXT(allow_null=True, help_text="Slug of the company.")


class ScenarioRecord(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = TEXT()
    note = TEXT()
    starts_on = DAY(help_text="First day on which its moves hold.")
    months = serializers.IntegerField(help_text="From the month of its first day on.")
    growth = TEXT(help_text="By how much the use of every feature grows in a year: 0.2 is a fifth more.")
    shared = serializers.BooleanField(help_text="Every reader of sourcing sees it.")
    state = serializers.ChoiceField(choices=ScenarioState.choices)
    revision = serializers.IntegerField()
    moves = MoveRecord(many=True)
    made_by = TEXT()
    made_at = serializers.DateTimeField()
    asked_by = TEXT(allow_null=True)
    asked_at = serializers.DateTimeField(allow_null=True)
    decided_by = TEXT(allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)
    decision_note = TEXT()

    def to_representation(self, instance: Scenario) -> dict[str, Any]:
        return {
            "id": instance.pk,
            "name": instance.name,
            "note": instance.note,
            "starts_on": iso(instance.starts_on),
            "months": instance.months,
            "growth": rate(instance.growth_ppm),
            "shared": instance.shared,
            "state": instance.state,
            "revision": instance.revision,
            "moves": [_move(move) for move in moves_of(instance)],
            "made_by": instance.made_by.name,
            "made_at": instance.made_at.isoformat(),
            "asked_by": instance.asked_by.name if instance.asked_by is not None else None,
            "asked_at": instance.asked_at.isoformat() if instance.asked_at is not None else None,
            "decided_by": instance.decided_by.name if instance.decided_by is not None else None,
            "decided_at": instance.decided_at.isoformat() if instance.decided_at is not None else None,
            "decision_note": instance.decision_note,
        }


class SideRecord(serializers.Serializer[Any]):
    """One side. total and by_month leave out what has no price."""

    total = Cost()
    by_month = serializers.ListField(child=Cost())
    hhi = serializers.IntegerField(
        allow_null=True, help_text="By spend, 0 to 10,000; null: nothing is spent."
    )
    quota_share = TEXT(
        allow_null=True,
        help_text="Traffic on versions that count toward quota when sold, on the first day, as a decimal.",
    )
    unpriced_tokens = serializers.IntegerField(help_text="In no amount, and not zero.")


class SupplierRecord(serializers.Serializer[Any]):
    name = TEXT()
    before = Cost()
    after = Cost()


class FeatureRecord(serializers.Serializer[Any]):
    feature = TEXT(help_text="Slug.")
    before = Cost()
    after = Cost()
    difference = Cost(help_text="Null where the two sides cannot be compared; why says why not.")
    why = TEXT()
    uncovered = TEXT(help_text="Traffic that no model takes after, as a decimal.")


class MeanRecord(serializers.Serializer[Any]):
    """low and high are 95 %; null where no interval is known."""

    score = serializers.FloatField()
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)


class QualityRecord(serializers.Serializer[Any]):
    """One task in one ranking. change is after less before, turned so that more is better."""

    task = TEXT(help_text="Slug.")
    ranking = TEXT(allow_null=True)
    before = MeanRecord(allow_null=True)
    after = MeanRecord(allow_null=True)
    change = MeanRecord(allow_null=True)
    verdict = serializers.ChoiceField(
        choices=VERDICTS, help_text="level: the intervals do not tell them apart."
    )
    missing = serializers.ListField(child=TEXT(), help_text="Models without a score in the ranking.")


class SpendPlanRecord(serializers.Serializer[Any]):
    supplier = TEXT(help_text="Slug of the company.")
    starts_on = DAY()
    ends_on = DAY(help_text="First day after it.")
    planned = Cost(help_text="What falls on these days.")
    before = Cost()
    after = Cost()


class FindingRecord(serializers.Serializer[Any]):
    code = TEXT()
    text = TEXT()
    blocks = serializers.BooleanField(help_text="It cannot be promoted as it stands.")
    to_be_weighed = serializers.BooleanField(help_text="Whoever promotes it says why all the same.")


class ResultRecord(serializers.Serializer[Any]):
    """As of the day of the request: usage of the last three whole months, live bindings, prices by date."""

    months = serializers.ListField(child=TEXT(), help_text="2026-09.")
    before = SideRecord()
    after = SideRecord()
    difference = Cost(help_text="Of the features whose difference is known.")
    suppliers = SupplierRecord(many=True)
    features = FeatureRecord(many=True)
    quality = QualityRecord(many=True)
    spend_plans = SpendPlanRecord(many=True)
    findings = FindingRecord(many=True)


class ScenarioDetail(ScenarioRecord):
    """With what it comes to."""

    result = ResultRecord()

    def to_representation(self, instance: Scenario) -> dict[str, Any]:
        found = evaluate(
            moves_of(instance),
            starts_on=instance.starts_on,
            months=instance.months,
            growth_ppm=instance.growth_ppm,
            on=clock.day_of(self.context["view"].at),
        )
        return {**super().to_representation(instance), "result": result_body(found)}


def _move(move: ScenarioMove) -> dict[str, Any]:
    return {
        "kind": move.kind,
        "text": in_words(move),
        "feature": move.feature.slug if move.feature is not None else None,
        "source": _version(move.source),
        "target": _version(move.target),
        "share": rate(move.share_ppm),
        "plan": None if move.plan is None else {"offering": move.plan.offering.slug, "plan": move.plan.slug},
        "change": rate(move.change_ppm),
        "supplier": move.supplier.slug if move.supplier is not None else None,
    }


def _version(version: ModelVersion | None) -> dict[str, str] | None:
    if version is None:
        return None
    return {
        "model": version.model.slug,
        "version": version.label,
        "publisher": version.model.publisher.slug,
    }


def result_body(found: Outcome) -> dict[str, Any]:
    """No query."""
    shares = found.credit.ppm_before, found.credit.ppm_after
    return {
        "months": [f"{month.start:%Y-%m}" for month in found.facts.months],
        "before": _side(found.before, shares[0]),
        "after": _side(found.after, shares[1]),
        "difference": _usd(found.difference),
        "suppliers": [
            {"name": row.name, "before": _usd(row.before), "after": _usd(row.after)}
            for row in found.suppliers
        ],
        "features": [
            {
                "feature": row.feature.slug,
                "before": _usd(row.before),
                "after": _usd(row.after),
                "difference": _usd(row.difference),
                "why": row.why,
                "uncovered": rate(row.uncovered_ppm),
            }
            for row in found.features
        ],
        "quality": [
            {
                "task": row.area.slug,
                "ranking": f"{row.key.title}, {row.key.conditions}" if row.key is not None else None,
                "before": _mean(row.before),
                "after": _mean(row.after),
                "change": _mean(row.change),
                "verdict": row.verdict,
                "missing": list(row.missing),
            }
            for row in found.quality
        ],
        "spend_plans": [
            {
                "supplier": row.plan.supplier.slug,
                "starts_on": iso(row.start),
                "ends_on": iso(row.end),
                "planned": money(row.planned, row.plan.currency.code, row.plan.currency.exponent),
                "before": _usd(row.before),
                "after": _usd(row.after),
            }
            for row in found.plans
        ],
        "findings": [
            {"code": each.code, "text": each.text, "blocks": each.blocks, "to_be_weighed": each.doubt}
            for each in found.findings
        ],
    }


def _side(side: Side, counted: int | None) -> dict[str, Any]:
    return {
        "total": _usd(side.total),
        "by_month": [_usd(amount) for amount in side.by_month],
        "hhi": side.hhi,
        "quota_share": rate(counted),
        "unpriced_tokens": sum(each.tokens for each in side.unpriced),
    }


def _mean(mean: Mean | None) -> dict[str, float | None] | None:
    """Six decimals: more is noise of the sum, and would make two readings of one state differ."""
    if mean is None:
        return None
    ends = {"score": mean.score, "low": mean.low, "high": mean.high}
    return {name: None if value is None else round(value, 6) + 0.0 for name, value in ends.items()}


def _usd(minor: int | None) -> dict[str, str] | None:
    return money(minor, "USD", 2)


# --- what is sent -----------------------------------------------------------------------------------------


class PlanBody(Strict):
    offering = serializers.SlugField(max_length=80)
    plan = serializers.SlugField(max_length=60)


class MoveBody(Strict):
    """share moves a part of the source's own share; price changes a plan's; end_supplier lets a company's models go."""

    kind = serializers.ChoiceField(choices=MoveKind.choices)
    feature = serializers.SlugField(
        max_length=80, required=False, allow_null=True, help_text="Of a share; without it, every feature."
    )
    source = VersionName(required=False)  # type: ignore[assignment]
    target = VersionName(required=False)
    share = serializers.DecimalField(
        max_digits=7,
        decimal_places=6,
        min_value=Decimal(0),
        max_value=Decimal(1),
        required=False,
        help_text="0 to 1.",
    )
    plan = PlanBody(required=False)
    change = serializers.DecimalField(
        max_digits=8,
        decimal_places=6,
        min_value=Decimal(-1),
        max_value=Decimal(10),
        required=False,
        help_text="-0.1 is ten per cent cheaper.",
    )
    supplier = serializers.SlugField(max_length=60, required=False, help_text="Slug of the company.")


class NewScenario(Strict):
    name = serializers.CharField(max_length=LONGEST_NAME)
    note = serializers.CharField(max_length=LONGEST_NOTE, required=False, allow_blank=True, default="")
    starts_on = serializers.DateField()
    months = serializers.IntegerField(min_value=1, max_value=MOST_MONTHS, required=False, default=12)
    growth = serializers.DecimalField(
        max_digits=8, decimal_places=6, min_value=Decimal("-0.9"), max_value=Decimal(10), required=False
    )
    shared = serializers.BooleanField(required=False, default=False)
    moves = MoveBody(many=True, required=False, default=list)


class ScenarioChanges(Strict):
    """What is left out stays; moves take the place of all that were there."""

    name = serializers.CharField(max_length=LONGEST_NAME, required=False)
    note = serializers.CharField(max_length=LONGEST_NOTE, required=False, allow_blank=True)
    starts_on = serializers.DateField(required=False)
    months = serializers.IntegerField(min_value=1, max_value=MOST_MONTHS, required=False)
    growth = serializers.DecimalField(
        max_digits=8, decimal_places=6, min_value=Decimal("-0.9"), max_value=Decimal(10), required=False
    )
    shared = serializers.BooleanField(required=False)
    moves = MoveBody(many=True, required=False)


class DecideScenarioBody(Strict):
    decision = serializers.ChoiceField(choices=DECISIONS)
    note = serializers.CharField(
        max_length=LONGEST_DECISION,
        required=False,
        allow_blank=True,
        default="",
        help_text="Needed to decline, and to promote what has something to be weighed.",
    )


def drafts(moves: Sequence[Mapping[str, Any]]) -> list[MoveDraft]:
    """Names to ids. Raises Invalid with every name that stands for nothing, or for several versions. 4 queries at most."""
    named = [move[end] for move in moves for end in ("source", "target") if move.get(end)]
    features = _ids(Feature, {move["feature"] for move in moves if move.get("feature")})
    companies = _ids(Company, {move["supplier"] for move in moves if move.get("supplier")})
    versions: dict[str, list[tuple[str, int]]] = {}
    if named:
        rows = ModelVersion.objects.filter(model__slug__in={name["model"] for name in named}).order_by("pk")
        for slug, label, pk in rows.values_list("model__slug", "label", "pk"):
            versions.setdefault(slug, []).append((label, pk))
    wanted = {(m["plan"]["offering"], m["plan"]["plan"]) for m in moves if m.get("plan")}
    plans = {
        (offering, plan): pk
        for offering, plan, pk in (
            Plan.objects.filter(offering__slug__in={offering for offering, _plan in wanted}).values_list(
                "offering__slug", "slug", "pk"
            )
            if wanted
            else ()
        )
    }
    problems: list[Problem] = []

    def one(known: Mapping[Any, int], key: Any, what: str, place: int) -> int | None:
        if key is None:
            return None
        if key not in known:
            problems.append(Problem(f"unknown_{what}", f"There is no such {what}.", f"/moves/{place}/{what}"))
        return known.get(key)

    def version(name: Mapping[str, str] | None, end: str, place: int) -> int | None:
        if not name:
            return None
        there = versions.get(name["model"], [])
        fitting = [pk for label, pk in there if not name["version"] or label == name["version"]]
        if len(fitting) == 1:
            return fitting[0]
        labels = ", ".join(label for label, _pk in there)
        text = f"Name the version: {labels}." if there else f"There is no model {name['model']}."
        code = "which_version" if there else "unknown_model"
        problems.append(Problem(code, text, f"/moves/{place}/{end}"))
        return None

    found = []
    for place, move in enumerate(moves):
        plan = move.get("plan")
        found.append(
            MoveDraft(
                move["kind"],
                feature_id=one(features, move.get("feature"), "feature", place),
                source_id=version(move.get("source"), "source", place),
                target_id=version(move.get("target"), "target", place),
                share_ppm=int(move["share"] * ONE) if move.get("share") is not None else None,
                plan_id=one(plans, (plan["offering"], plan["plan"]) if plan else None, "plan", place),
                change_ppm=int(move["change"] * ONE) if move.get("change") is not None else None,
                supplier_id=one(companies, move.get("supplier"), "supplier", place),
            )
        )
    refuse_if_any(problems)
    return found


def _ids(model: type[Feature] | type[Company], slugs: set[str]) -> dict[str, int]:
    if not slugs:
        return {}
    return dict(model._default_manager.filter(slug__in=slugs).values_list("slug", "pk"))


class ScenarioFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    state = Choices(choices=ScenarioState.choices)
    own = Flag(method="of_caller", label="true: only your own.")

    class Meta:
        model = Scenario
        fields: list[str] = []

    def of_caller(self, rows: QuerySet[Scenario], _name: str, value: bool) -> Any:
        return rows.filter(made_by=self.request.user) if value else rows


@extend_schema_view(
    list=extend_schema(summary="Scenarios that you may see", responses=ScenarioRecord(many=True)),
    retrieve=extend_schema(
        summary="One scenario with what it comes to", parameters=[BY_ID], responses=ScenarioDetail
    ),
)
class Scenarios(Resources):
    """A switch on paper: shares that move, a price that changes, a supplier that ends. Nothing that runs changes before
    a second sourcing lead promotes it."""

    queryset = Scenario.objects.none()  # for the schema; get_queryset() is what answers
    serializer_class = ScenarioDetail
    filterset_class = ScenarioFilters
    keyset = ("-id",)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not reads_sourcing(self.caller):
            raise Http404

    def get_queryset(self) -> QuerySet[Scenario]:
        return scenarios_for(self.caller)

    def get_serializer_class(self) -> Any:
        return ScenarioRecord if self.action == "list" else ScenarioDetail

    @extend_schema(summary="Make one", request=NewScenario, responses={201: ScenarioDetail})
    def create(self, request: Request) -> Response:
        """A draft that only you see unless it is shared. With an Idempotency-Key a retry makes nothing new."""
        must_lead_sourcing(self.caller)  # before a name in the body is looked up
        given = self.body(NewScenario).validated_data
        growth = int(given.pop("growth", Decimal(0)) * ONE)
        draft = ScenarioDraft(**{**given, "moves": drafts(given["moves"])}, growth_ppm=growth)
        made = service.make_scenario(draft=draft, on=clock.day_of(self.at), by=self.caller, at=self.at)
        return self.created(made)

    @extend_schema(
        summary="Change a draft of yours",
        parameters=[BY_ID],
        request=ScenarioChanges,
        responses=ScenarioDetail,
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        revision = self.matched(row)
        must_lead_sourcing(self.caller)
        given = self.body(ScenarioChanges).validated_data
        moves = drafts(given["moves"]) if "moves" in given else [service.draft_of(m) for m in moves_of(row)]
        names = ("name", "starts_on", "months", "note", "shared")
        growth = int(given["growth"] * ONE) if "growth" in given else row.growth_ppm
        said = {n: given.get(n, getattr(row, n)) for n in names}
        draft = ScenarioDraft(**said, moves=moves, growth_ppm=growth)
        service.revise_scenario(
            scenario_id=row.pk,
            draft=draft,
            on=clock.day_of(self.at),
            by=self.caller,
            at=self.at,
            expected_revision=revision,
        )
        return self.answer(self.get_queryset().get(pk=row.pk))

    @extend_schema(summary="Delete a draft of yours", parameters=[BY_ID], responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        service.delete_scenario(
            scenario_id=row.pk, by=self.caller, at=self.at, expected_revision=self.matched(row)
        )
        return Response(status=204)

    @extend_schema(summary="Copy one", parameters=[BY_ID], request=None, responses={201: ScenarioDetail})
    @action(detail=True, methods=["post"])
    def copy(self, request: Request, pk: str) -> Response:
        """A draft of your own with the same moves."""
        row = self.get_object()
        self.matched(row)
        made = service.copy_scenario(scenario_id=row.pk, on=clock.day_of(self.at), by=self.caller, at=self.at)
        return self.created(made)

    @extend_schema(
        summary="Ask to promote a draft of yours", parameters=[BY_ID], request=None, responses=ScenarioDetail
    )
    @action(detail=True, methods=["post"], url_path="ask-promotion")
    def ask_promotion(self, request: Request, pk: str) -> Response:
        """A conflict names everything that speaks against it."""
        return self.act(service.ask_promotion, "scenario_id", on=clock.day_of(self.at))

    @extend_schema(
        summary="Take back what you asked for", parameters=[BY_ID], request=None, responses=ScenarioDetail
    )
    @action(detail=True, methods=["post"], url_path="take-back")
    def take_back(self, request: Request, pk: str) -> Response:
        return self.act(service.take_back, "scenario_id")

    @extend_schema(
        summary="Promote or decline what somebody else asked for",
        parameters=[BY_ID],
        request=DecideScenarioBody,
        responses=ScenarioDetail,
    )
    @action(detail=True, methods=["post"])
    def decide(self, request: Request, pk: str) -> Response:
        """Promoted, the mixes of all its features are set in one transaction from its first day on, or from tomorrow."""
        given = self.body(DecideScenarioBody).validated_data
        return self.act(
            service.decide,
            "scenario_id",
            promote=given["decision"] == "promote",
            note=given["note"],
            on=clock.day_of(self.at),
        )
