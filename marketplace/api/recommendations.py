"""Which offering for which task, as the page has it: the same function, the same groups, the same reasons."""

from collections.abc import Collection, Iterable
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config import clock, formats
from config.rest.fields import MONEY_SCHEMA, money
from config.rest.problems import BadQuery
from config.rest.serializers import Strict
from config.rest.views import Computed
from marketplace.api import resources as shapes
from marketplace.api.views import Day, slug_field
from marketplace.models import Lifecycle, Program, TaskArea
from marketplace.selectors.costs import LARGEST, Usage
from marketplace.selectors.recommender import (
    LOOKED_AT,
    TYPICAL,
    Candidate,
    Constraints,
    Recommendation,
    recommend,
)
from marketplace.selectors.search import MODALITIES
from marketplace.selectors.visibility import offerings_for

TEXT = serializers.CharField


class Several(serializers.CharField):
    """Known words, separated by commas."""

    def __init__(self, known: Collection[str], **more: Any) -> None:
        self.known = tuple(known)
        super().__init__(
            required=False,
            default="",
            allow_blank=True,
            max_length=200,
            help_text=f"Separated by commas, all of them: {', '.join(self.known)}.",
            **more,
        )

    def run_validation(self, data: Any = serializers.empty) -> Any:
        words = [word for word in str(super().run_validation(data)).split(",") if word]
        wrong = [word for word in words if word not in self.known]
        if wrong:
            raise serializers.ValidationError(
                f"Not known: {', '.join(wrong)}. Known are {', '.join(self.known)}.", "invalid_choice"
            )
        return tuple(words)


def tokens(default: int, **more: Any) -> serializers.IntegerField:
    return serializers.IntegerField(required=False, default=default, min_value=0, max_value=LARGEST, **more)


class RecommendationQuery(Strict):
    task = TEXT(max_length=60, help_text="Slug of a task area.")
    as_of = Day(required=False)
    modality_in = Several(MODALITIES)
    modality_out = Several(MODALITIES)
    min_context = serializers.IntegerField(
        required=False, default=None, allow_null=True, min_value=0, help_text="Tokens."
    )
    region = slug_field(max_length=40, help_text="Where a public plan runs, such as eu.")
    country = serializers.RegexField(r"^([A-Za-z]{2})?$", required=False, default="", allow_blank=True)
    eligible = Several(Program.values)
    lifecycle = Several(Lifecycle.values)
    max_input_price = serializers.DecimalField(
        20,
        10,
        required=False,
        default=None,
        allow_null=True,
        min_value=0,
        help_text="USD for a million tokens.",
    )
    budget = serializers.DecimalField(
        20,
        2,
        required=False,
        default=None,
        allow_null=True,
        min_value=0,
        help_text="USD a month for the usage.",
    )
    input_tokens = tokens(TYPICAL.input_tokens, help_text="A month.")
    cached_input_tokens = tokens(0, help_text="Of the input.")
    output_tokens = tokens(TYPICAL.output_tokens)
    requests = tokens(0)


@extend_schema_field(MONEY_SCHEMA)
class MoneyShape(serializers.JSONField):
    """{"amount": "3.00", "currency": "USD"}."""


class OfferedShape(serializers.Serializer[Any]):
    slug = TEXT()
    name = TEXT()
    publisher = shapes.PublisherShape()


class StandingShape(serializers.Serializer[Any]):
    benchmark = TEXT()
    benchmark_version = TEXT()
    metric = TEXT()
    harness = TEXT()
    variant = TEXT()
    place = serializers.IntegerField()
    better_than = serializers.IntegerField()
    level_with = serializers.IntegerField()
    others = serializers.IntegerField()
    source = TEXT()  # type: ignore[assignment]  # a field called source
    licence = TEXT()


class CandidateResource(serializers.Serializer[Any]):
    """place and share are null where nothing was compared: that is unknown, not bad."""

    offering = OfferedShape()
    place = serializers.IntegerField(allow_null=True)
    share = serializers.DecimalField(
        5,
        4,
        allow_null=True,
        help_text="Of all models tested for the task, how many it would be expected to do better than.",
    )
    share_low = serializers.DecimalField(5, 4, allow_null=True)
    share_high = serializers.DecimalField(5, 4, allow_null=True)
    standings = StandingShape(many=True)
    plan = TEXT(allow_null=True, help_text="The public plan that costs least for the usage.")
    cost_a_month = MoneyShape(allow_null=True)
    on_frontier = serializers.BooleanField()
    reasons = serializers.ListField(child=TEXT())


class ExcludedResource(serializers.Serializer[Any]):
    offering = OfferedShape()
    reasons = serializers.ListField(child=TEXT())


class RecommendationResource(serializers.Serializer[Any]):
    """results are ranked by evidence; without_figures and without_evidence cannot be, and stand by name."""

    task = TEXT()
    as_of = serializers.DateField()
    results = CandidateResource(many=True)
    without_figures = CandidateResource(many=True)
    without_evidence = CandidateResource(many=True, help_text=f"At most {LOOKED_AT}, the first by name.")
    not_looked_at = serializers.IntegerField(
        help_text="Offerings for the task without evidence beyond those."
    )
    excluded = ExcludedResource(many=True)


class Recommendations(Computed):
    """What to take for a task under constraints, with the reasons. Whose model it is plays no part."""

    parameters = tuple(RecommendationQuery().fields)

    @extend_schema(
        summary="What to take for a task",
        parameters=[RecommendationQuery],
        responses=RecommendationResource,
    )
    def get(self, request: Request) -> Response:
        asked = self.query(RecommendationQuery)
        usage = Usage(
            input_tokens=asked["input_tokens"],
            cached_input_tokens=asked["cached_input_tokens"],
            output_tokens=asked["output_tokens"],
            requests=asked["requests"],
        )
        if problems := usage.problems():
            raise BadQuery(*problems)
        found = recommend(
            task=asked["task"],
            constraints=Constraints(
                modalities_in=asked["modality_in"],
                modalities_out=asked["modality_out"],
                min_context=asked["min_context"],
                region=asked["region"],
                country=asked["country"].upper(),
                eligible_for=asked["eligible"],
                lifecycle=asked["lifecycle"],
                max_input_price=asked["max_input_price"],
                usage=usage,
                budget=asked["budget"],
            ),
            visible=offerings_for(self.caller),
            on=asked.get("as_of") or clock.today(),
        )
        if found is None:
            known = ", ".join(TaskArea.objects.order_by("position", "id").values_list("slug", flat=True))
            raise BadQuery(
                ("task", "unknown_task", f"There is no such task area. Known are {known or 'none'}.")
            )
        return Response(recommendation_body(found))


def recommendation_body(found: Recommendation) -> dict[str, Any]:
    edge = {candidate.offering.pk for candidate in found.frontier}

    def bodies(candidates: Iterable[Candidate]) -> list[dict[str, Any]]:
        return [_candidate(candidate, candidate.offering.pk in edge) for candidate in candidates]

    return {
        "task": found.task.slug,
        "as_of": found.on.isoformat(),
        "results": bodies(found.ranked),
        "without_figures": bodies(found.said_of),
        "without_evidence": bodies(found.unknown),
        "not_looked_at": found.more,
        "excluded": [{"offering": _offered(e.candidate), "reasons": list(e.reasons)} for e in found.excluded],
    }


def _offered(candidate: Candidate) -> dict[str, Any]:
    offering = candidate.offering
    return {
        "slug": offering.slug,
        "name": offering.name,
        "publisher": shapes.publisher_body(offering.publisher),
    }


def _candidate(candidate: Candidate, on_frontier: bool) -> dict[str, Any]:
    strength, cost = candidate.strength, candidate.cost
    return {
        "offering": _offered(candidate),
        "place": candidate.place,
        "share": f"{strength.share:.4f}" if strength else None,
        "share_low": f"{strength.low:.4f}" if strength else None,
        "share_high": f"{strength.high:.4f}" if strength else None,
        "standings": [
            {
                "benchmark": s.ranking.key.benchmark,
                "benchmark_version": s.ranking.key.version,
                "metric": s.ranking.key.metric,
                "harness": s.ranking.key.harness,
                "variant": s.result.variant,
                "place": s.place,
                "better_than": s.better,
                "level_with": s.level,
                "others": s.others,
                "source": s.result.source,
                "licence": s.result.licence,
            }
            for s in candidate.standings
        ],
        "plan": candidate.pick.plan.slug if candidate.pick else None,
        "cost_a_month": money(formats.rounded(cost * 100), "USD", 2) if cost is not None else None,
        "on_frontier": on_frontier,
        "reasons": candidate.reasons,
    }
