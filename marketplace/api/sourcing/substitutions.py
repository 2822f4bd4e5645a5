"""Substitutions over REST: those who buy, audit or judge models read them; engineers and sourcing leads propose, another lead decides."""

from datetime import date
from functools import cached_property
from typing import Any, Final

from django.db.models import Q, QuerySet
from django.http import Http404
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from config import clock
from config.refusals import Problem, refuse_if_any
from config.rest.filters import Choices, Words
from config.rest.serializers import Strict
from config.rest.views import Resources
from marketplace.api.resources import TEXT
from marketplace.models import Feature, ModelVersion, Substitution
from marketplace.selectors.costs import plain
from marketplace.selectors.sourcing import substitution as register
from marketplace.selectors.sourcing.access import reads_sourcing
from marketplace.selectors.sourcing.substitution import Standings
from marketplace.selectors.sourcing.verdicts import Grade, Need, Verdicts
from marketplace.services.sourcing.access import must_judge
from marketplace.services.sourcing.substitution import LONGEST, decide, propose, withdraw

BY_ID = OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)
STATES: Final = [(state, state) for state in ("proposed", "qualified", "rejected", "withdrawn")]
NEEDS: Final = [(need.value, need.value) for need in Need]
GRADES: Final = [(grade.value, grade.value) for grade in Grade]
DECISIONS: Final = [("qualify", "qualify"), ("reject", "reject")]


class NamedVersion(serializers.Serializer[Any]):
    model = TEXT(help_text="Slug.")
    version = TEXT(help_text="Label.")
    publisher = TEXT(help_text="Slug.")


class VerdictRecord(serializers.Serializer[Any]):
    need = serializers.ChoiceField(choices=NEEDS)
    grade = serializers.ChoiceField(
        choices=GRADES,
        help_text="failed, of context, modalities, zone and lifecycle, keeps it from being qualified.",
    )
    word = TEXT()
    text = TEXT()


class SubstitutionRecord(serializers.Serializer[Any]):
    """verdicts and price_change are of today. Who does not read spend reads no price."""

    id = serializers.IntegerField()
    feature = TEXT(help_text="Slug.")
    product = TEXT(help_text="Slug.")
    replaced = NamedVersion()
    alternative = NamedVersion()
    state = serializers.ChoiceField(choices=STATES)
    verdicts = VerdictRecord(many=True)
    price_change = TEXT(
        allow_null=True, help_text="Part of the present cost, as a decimal: -0.2 is a fifth less."
    )
    reason = TEXT()
    proposed_by = TEXT(allow_null=True)
    proposed_at = serializers.DateTimeField()
    decided_by = TEXT(allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)
    note = TEXT()
    withdrawn_at = serializers.DateTimeField(allow_null=True)
    synthetic = serializers.BooleanField()

    def to_representation(self, instance: Substitution) -> dict[str, Any]:
        view = self.context["view"]
        verdicts: Verdicts = view.verdicts_of(instance)
        prices = reads_sourcing(view.caller)
        return {
            "id": instance.pk,
            "feature": instance.feature.slug,
            "product": instance.feature.product.slug,
            "replaced": _named(instance.replaced),
            "alternative": _named(instance.alternative),
            "state": "withdrawn" if instance.superseded_at is not None else instance.state,
            "verdicts": [
                {"need": v.need.value, "grade": v.grade.value, "word": v.word, "text": v.text}
                for v in verdicts.each
                if prices or v.need != Need.PRICE
            ],
            "price_change": plain(verdicts.change.ratio, 6) if prices else None,
            "reason": instance.reason,
            "proposed_by": instance.proposed_by.name if instance.proposed_by is not None else None,
            "proposed_at": instance.proposed_at.isoformat(),
            "decided_by": instance.decided_by.name if instance.decided_by is not None else None,
            "decided_at": instance.decided_at.isoformat() if instance.decided_at is not None else None,
            "note": instance.decision_note,
            "withdrawn_at": instance.superseded_at.isoformat()
            if instance.superseded_at is not None
            else None,
            "synthetic": instance.synthetic,
        }


def _named(version: ModelVersion) -> dict[str, str]:
    return {
        "model": version.model.slug,
        "version": version.label,
        "publisher": version.model.publisher.slug,
    }


class VersionName(Strict):
    """version may be left out where the model has one."""

    model = serializers.SlugField(max_length=80)
    version = serializers.CharField(max_length=80, required=False, allow_blank=True, default="")


class NewSubstitution(Strict):
    feature = serializers.SlugField(max_length=80)
    replaced = VersionName()
    alternative = VersionName()
    reason = serializers.CharField(max_length=LONGEST)

    def ids(self) -> tuple[int, int, int]:
        """Feature, replaced, alternative. Raises Invalid with every name that stands for nothing, or for several versions."""
        given = self.validated_data
        feature = Feature.objects.filter(slug=given["feature"]).first()
        problems = [] if feature else [Problem("unknown_feature", "There is no such feature.", "/feature")]
        found: list[int] = []
        for name in ("replaced", "alternative"):
            wanted = given[name]
            versions = list(ModelVersion.objects.filter(model__slug=wanted["model"]).order_by("pk"))
            fitting = [v for v in versions if not wanted["version"] or v.label == wanted["version"]]
            if len(fitting) == 1:
                found.append(fitting[0].pk)
                continue
            labels = ", ".join(v.label for v in versions)
            message = f"Name the version: {labels}." if versions else f"There is no model {wanted['model']}."
            code = "which_version" if versions else "unknown_model"
            problems.append(Problem(code, message, f"/{name}"))
        refuse_if_any(problems)
        return (feature.pk if feature is not None else 0), found[0], found[1]


class DecideSubstitutionBody(Strict):
    decision = serializers.ChoiceField(choices=DECISIONS)
    note = serializers.CharField(max_length=LONGEST, required=False, allow_blank=True, default="")


class WithdrawSubstitutionBody(Strict):
    reason = serializers.CharField(max_length=LONGEST)


class SubstitutionFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    feature = Words(field_name="feature__slug", lookup_expr="in", label="Slugs.")
    product = Words(field_name="feature__product__slug", lookup_expr="in", label="Slugs.")
    supplier = Words(
        field_name="replaced__model__publisher__slug",
        lookup_expr="in",
        label="Slugs of the publishers of what would be replaced.",
    )
    state = Choices(
        choices=STATES,
        method="being",
        label="Without it: proposed, qualified and rejected.",
    )

    class Meta:
        model = Substitution
        fields: list[str] = []

    def being(self, rows: QuerySet[Substitution], _name: str, values: list[str]) -> Any:
        gone = Q(superseded_at__isnull=False) if "withdrawn" in values else Q(pk=None)
        return rows.filter(gone | Q(state__in=values, superseded_at=None)) if values else rows


@extend_schema_view(
    list=extend_schema(summary="What could take over in the features of our products"),
    retrieve=extend_schema(summary="One substitution", parameters=[BY_ID]),
)
class Substitutions(Resources):
    """In a feature, the model version that could take over from another, whether that has been shown, and by whose decision."""

    queryset = Substitution.objects.none()  # for the schema; get_queryset() is what answers
    serializer_class = SubstitutionRecord
    filterset_class = SubstitutionFilters
    keyset = ("-id",)
    _standings: Standings | None = None

    @cached_property
    def on(self) -> date:
        return clock.today()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not register.reads_substitutions(self.caller):
            raise Http404

    def get_queryset(self) -> QuerySet[Substitution]:
        rows = register.substitutions_ever().order_by("-id")
        if self.action == "list" and not self.request.query_params.get("state"):
            rows = rows.filter(superseded_at=None)
        return rows

    def paginate_queryset(self, queryset: Any) -> Any:
        page = super().paginate_queryset(queryset)
        self._prepare(page or ())
        return page

    def _prepare(self, rows: Any) -> None:
        """So that a page of them is worked out with a constant number of queries."""
        self._standings = Standings(
            self.on,
            {row.feature_id for row in rows},
            {pk for row in rows for pk in (row.replaced_id, row.alternative_id)},
        )

    def verdicts_of(self, row: Substitution) -> Verdicts:
        known = self._standings
        if known is None or row.feature_id not in known.features or row.alternative_id not in known.versions:
            self._prepare([row])
            known = self._standings
        if known is None:
            raise AssertionError("prepared just before")
        return known.verdicts(row.feature_id, row.replaced_id, row.alternative_id)

    @extend_schema(summary="Propose one", request=NewSubstitution, responses={201: SubstitutionRecord})
    def create(self, request: Request) -> Response:
        """A sourcing lead other than you decides. A circle within a feature is refused with its chain."""
        must_judge(self.caller)  # before a name in the body is looked up
        body = self.body(NewSubstitution)
        feature, replaced, alternative = body.ids()
        made = propose(
            feature_id=feature,
            replaced_id=replaced,
            alternative_id=alternative,
            reason=body.validated_data["reason"],
            by=self.caller,
            at=self.at,
            on=self.on,
        )
        return self.created(self.get_queryset().get(pk=made.pk))

    @extend_schema(
        summary="Qualify or reject one",
        parameters=[BY_ID],
        request=DecideSubstitutionBody,
        responses=SubstitutionRecord,
    )
    @action(detail=True, methods=["post"])
    def decide(self, request: Request, pk: str) -> Response:
        """Not for who proposed it; what fails a hard requirement is not qualified."""
        given = self.body(DecideSubstitutionBody).validated_data
        row = self.get_object()
        self.matched(row)
        decide(
            substitution_id=row.pk,
            qualify=given["decision"] == "qualify",
            note=given["note"],
            by=self.caller,
            at=self.at,
            on=self.on,
        )
        return self.answer(self.get_queryset().get(pk=row.pk))

    @extend_schema(
        summary="Withdraw one",
        parameters=[BY_ID],
        request=WithdrawSubstitutionBody,
        responses=SubstitutionRecord,
    )
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        given = self.body(WithdrawSubstitutionBody).validated_data
        row = self.get_object()
        self.matched(row)
        withdraw(substitution_id=row.pk, reason=given["reason"], by=self.caller, at=self.at)
        return self.answer(self.get_queryset().get(pk=row.pk))
