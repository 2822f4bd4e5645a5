"""The form that says what a feature runs on from a day on: a row a model, blank rows left out."""

from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from django import forms
from django.http import QueryDict

from config import formats
from config.formats import day as day_text
from config.given import tidy
from config.language import _, later, spoken_choices
from config.refusals import Refusal, Stale
from marketplace.models import (
    BindingRole,
    Evaluation,
    Feature,
    ModelVersion,
    Plan,
    PublicFact,
    SuiteRun,
)
from marketplace.selectors.sourcing.products import Mix
from marketplace.services.sourcing.binding import (
    LONGEST_REASON,
    LONGEST_SOURCE,
    MOST,
    MixRow,
    last_stated,
    share_text,
)

ONE: Final = 1_000_000
SPARE: Final = 2
FIELDS: Final = {
    "model_version": "model",
    "share": "share",
    "role": "role",
    "plan": "plan",
    "evaluation": "evidence",
    "run": "evidence",
    "fact": "fact",
}


class ShareField(forms.CharField):
    """A share as people write it, read exactly into parts per million; empty is not stated."""

    def __init__(self) -> None:
        super().__init__(
            label=later("Share"),
            required=False,
            max_length=12,
            widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
        )

    def clean(self, value: Any) -> Any:
        text = super().clean(value).strip().rstrip("%").strip()
        if not text:
            return None
        try:
            percent = Decimal(formats.typed(text, most=100))
        except (InvalidOperation, formats.Unreadable):
            percent = Decimal("NaN")
        ppm = percent * 10_000 if percent.is_finite() and -1 < percent < 10_000 else None
        if ppm is None or not 0 <= ppm <= ONE or ppm != int(ppm):
            raise forms.ValidationError(
                _(
                    "Enter a number from 0 to 100, with at most four decimals; or nothing where it is not stated."
                )
            )
        return int(ppm)


class Versions:
    """Model versions by what they are called: the model's name, with the version's where it has several. 1 query."""

    def __init__(self) -> None:
        every = list(
            ModelVersion.objects.select_related("model__publisher").order_by("model__name", "label", "id")
        )
        by_name: dict[str, list[ModelVersion]] = {}
        for version in every:
            by_name.setdefault(version.model.name.casefold(), []).append(version)
        self.called: dict[int, str] = {}
        self._found: dict[str, ModelVersion] = {}
        for version in every:
            alone = len(by_name[version.model.name.casefold()]) == 1
            name = version.model.name if alone else f"{version.model.name} {version.label}"
            if name.casefold() in self._found:  # two models of one name with one label
                name = f"{version.model.slug}/{version.label}"
            self.called[version.pk] = name
            self._found[name.casefold()] = version
        self.options = [(self.called[v.pk], v.model.publisher.name) for v in every]

    def named(self, text: str) -> ModelVersion | None:
        return self._found.get(" ".join(text.split()).casefold())


class RowForm(forms.Form):
    """One model of the mix."""

    use_required_attribute = False

    model = forms.CharField(
        label=later("Model"),
        required=False,
        max_length=220,
        widget=forms.TextInput(attrs={"list": "versions", "autocomplete": "off"}),
    )
    role = forms.ChoiceField(
        label=later("Role"), choices=spoken_choices(BindingRole.choices), initial=BindingRole.SELECTABLE
    )
    share = ShareField()
    plan = forms.TypedChoiceField(label=later("Bought as"), required=False, coerce=int, empty_value=None)
    evidence = forms.ChoiceField(label=later("Justified by"), required=False)
    fact = forms.TypedChoiceField(
        label=later("Public statement"), required=False, coerce=int, empty_value=None
    )
    assumed = forms.BooleanField(label=later("Version, share or day is assumed"), required=False)

    def __init__(self, *args: Any, versions: Versions, **options: Any) -> None:
        super().__init__(*args, **options)
        self._versions = versions
        text = self.data.get(self.add_prefix("model")) if self.is_bound else self.initial.get("model")
        self.version = versions.named(tidy(text))
        share = self.data.get(self.add_prefix("share")) if self.is_bound else self.initial.get("share")
        self.is_blank = not str(text or "").strip() and not str(share or "").strip()

    def offer(
        self, plans: list[tuple[int, str]], evidence: list[tuple[str, str]], facts: list[tuple[int, str]]
    ) -> None:
        """What may be chosen for this row's model."""
        self.fields["plan"].choices = [("", _("The first plan by tokens with a price")), *plans]  # type: ignore[attr-defined]
        self.fields["evidence"].choices = [("", _("Nothing yet")), *evidence]  # type: ignore[attr-defined]
        self.fields["fact"].choices = [("", _("None")), *facts]  # type: ignore[attr-defined]

    def clean_model(self) -> str:
        text: str = self.cleaned_data["model"]
        if not text.strip() and not self.is_blank:
            raise forms.ValidationError(_("Say whose share this is, or take the share away."))
        if text.strip() and self.version is None:
            raise forms.ValidationError(_("There is no such model: choose one from the list."))
        return text

    @property
    def row(self) -> MixRow | None:
        """Of a valid row; None of a blank one."""
        if self.version is None:
            return None
        given = self.cleaned_data
        kind, _sep, pk = given["evidence"].partition("-")
        share = given["share"]
        if given["role"] == BindingRole.FALLBACK and share is None:
            share = 0
        return MixRow(
            model_version_id=self.version.pk,
            role=given["role"],
            share_ppm=share,
            plan_id=given["plan"],
            evaluation_id=int(pk) if kind == "result" else None,
            run_id=int(pk) if kind == "run" else None,
            fact_id=given["fact"],
            assumed=given["assumed"],
        )


def without_row(data: QueryDict) -> QueryDict:
    """What was sent without the row that is to be taken out, if one is; the rows below it move up."""
    place, number = data.get("drop", ""), data.get("rows", "")
    if not (_is_small(place) and _is_small(number)):
        return data
    kept = data.copy()
    kept["rows"] = str(max(int(number) - 1, 1))
    for at in range(int(place), int(number)):
        for name in RowForm.base_fields:
            following = data.get(f"row{at + 1}-{name}")
            if following is None:
                kept.pop(f"row{at}-{name}", None)
            else:
                kept[f"row{at}-{name}"] = following
    return kept


def _is_small(text: str) -> bool:
    return text.isdecimal() and text.isascii() and len(text) < 3


class MixForm(forms.Form):
    """rows holds a RowForm each. Without data it starts from *mix*, the one that holds on *day*."""

    use_required_attribute = False

    from_day = forms.DateField(
        label=later("From"),
        help_text=later(
            "The first day of this mix. It may lie ahead, or in the past where history was stated wrongly."
        ),
        error_messages={
            "required": later("Say from when on."),
            "invalid": later("Enter a day, such as 2026-08-14."),
        },
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    reason = forms.CharField(
        max_length=LONGEST_REASON,
        help_text=later("It stands beside the mix for everybody who works here."),
        error_messages={"required": later("Say why: it stands beside the mix.")},
        widget=forms.Textarea(attrs={"rows": 2}),
        label=later("Reason"),
    )
    source = forms.CharField(
        max_length=LONGEST_SOURCE,
        required=False,
        help_text=later("Where it is known from, if somebody published it."),
        label=later("Source"),
    )
    seen = forms.IntegerField(widget=forms.HiddenInput, min_value=0)

    def __init__(
        self,
        data: QueryDict | None,
        *,
        feature: Feature,
        today: date,
        mix: Mix | None = None,
        day: date | None = None,
        seen: int = 0,
    ) -> None:
        super().__init__(data, initial={"from_day": day or today, "seen": seen})
        self._feature, self._today = feature, today
        self.versions = Versions()
        number = len(mix.bindings) + SPARE if mix is not None else SPARE + 1
        if data is not None:
            written = data.get("rows", "")
            number = int(written) if _is_small(written) else 1
            number += SPARE if data.get("do") == "add" else 0
        number = min(number, MOST)
        starts = _initial(mix, self.versions)
        self.rows = [
            RowForm(
                data,
                prefix=f"row{place}",
                initial=starts[place] if place < len(starts) else None,
                versions=self.versions,
            )
            for place in range(number)
        ]
        self._offer()

    def _offer(self) -> None:
        """Plans, results and statements for the models of the rows. 4 queries."""
        wanted = {row.version.pk for row in self.rows if row.version is not None}
        plans: dict[int, list[tuple[int, str]]] = {}
        for plan in (
            Plan.objects.filter(offering__model_version__in=wanted)
            .select_related("offering")
            .order_by("offering__name", "position", "id")
        ):
            plans.setdefault(plan.offering.model_version_id or 0, []).append((plan.pk, str(plan)))
        proofs: dict[int | None, list[tuple[str, str]]] = {}
        for run in (
            SuiteRun.objects.filter(model_version__in=wanted, suite__task_area=self._feature.task_area_id)
            .select_related("suite")
            .order_by("-dated", "-id")
        ):
            label = f"{run.suite}: {run.metric} {run.score.normalize():f}, {day_text(run.dated)}"
            proofs.setdefault(run.model_version_id, []).append((f"run-{run.pk}", label))
        results = Evaluation.objects.filter(task_area=self._feature.task_area_id).order_by("benchmark", "id")
        for result in results:
            if result.model_version_id in wanted and result.score is not None:
                label = f"{result.benchmark} {result.metric}: {result.score.normalize():f}"
                proofs.setdefault(result.model_version_id, []).append((f"result-{result.pk}", label))
            elif result.score is None and result.model_version_id is None:
                label = f"{result.subject}: {result.finding}"
                proofs.setdefault(None, []).append((f"result-{result.pk}", label))
        facts = [
            (fact.pk, f"{fact.subject}, {fact.counterpart}")
            for fact in PublicFact.objects.filter(kind="feature_binding").order_by("id")
        ]
        for row in self.rows:
            version = row.version.pk if row.version is not None else 0
            row.offer(plans.get(version, []), [*proofs.get(version, ()), *proofs.get(None, ())], facts)

    @property
    def day(self) -> date:
        """The day that is meant, today while it cannot be read."""
        written = self["from_day"].value()
        try:
            return written if isinstance(written, date) else date.fromisoformat(str(written))
        except ValueError:
            return self._today

    def clean_from_day(self) -> date:
        day: date = self.cleaned_data["from_day"]
        if not self._today.year - 20 <= day.year <= self._today.year + 10:
            raise forms.ValidationError(_("That day is too far away: check the year."))
        return day

    def is_valid(self) -> bool:
        return super().is_valid() & all(row.is_valid() for row in self.rows)

    def mix_rows(self) -> list[MixRow]:
        return [mixed for row in self.rows if (mixed := row.row) is not None]

    def settle(self) -> None:
        """Before it is shown: each row is checked, and its first fields are not called optional, though a blank row is.

        Where it does not say any more which mix it was made over, whoever sends it is told, and decides over what is there now.
        """
        if self.is_bound and "seen" in self.errors:
            self.add_error(
                None,
                _(
                    "This page no longer says which mix it was made over. Look at the mix again, then state it."
                ),
            )
            self._see_anew()
        for row in self.rows:
            _rest = row.errors
            for name in ("model", "share"):
                row.fields[name].required = True

    def refuse(self, refused: Refusal) -> None:
        """Each problem at its field. Whoever was told that the mix has changed may decide again over what is there now."""
        filled = [row for row in self.rows if row.version is not None]
        for problem in refused.problems:
            _empty, *path = problem.pointer.split("/") if problem.pointer else [""]
            if len(path) == 3 and path[0] == "rows" and path[2] in FIELDS:
                filled[int(path[1])].add_error(FIELDS[path[2]], problem.message)
            else:
                self.add_error(
                    path[0] if len(path) == 1 and path[0] in self.fields else None, problem.message
                )
        if isinstance(refused, Stale):
            self._see_anew()

    def _see_anew(self) -> None:
        data = QueryDict(mutable=True)
        data.update(self.data)
        data["seen"] = str(last_stated(self._feature.pk))
        self.data = data

    def total(self) -> dict[str, Any]:
        """What the shares written so far come to: sum, and in words what is missing, with its tone and icon."""
        known, is_open, wrong = 0, False, False
        for row in self.rows:
            if row.is_blank:
                continue
            role = row["role"].value()
            try:
                share = ShareField().clean(row["share"].value() or "")
            except forms.ValidationError:
                wrong = True
                continue
            if role != BindingRole.FALLBACK:
                known += share or 0
                is_open = is_open or share is None
        left = share_text(ONE - known) if known <= ONE else ""
        if wrong:
            text, tone, icon = _("A share cannot be read"), "bad", "circle-x"
        elif known > ONE:
            text, tone, icon = _("%(known)s too much") % {"known": share_text(known - ONE)}, "bad", "circle-x"
        elif known == ONE:
            text, tone, icon = _("Adds up"), "good", "circle-check"
        elif is_open:
            text, tone, icon = _("%(left)s not stated") % {"left": left}, "muted", "circle-question-mark"
        else:
            text, tone, icon = _("%(left)s missing") % {"left": left}, "warn", "triangle-alert"
        return {"sum": share_text(known), "text": text, "tone": tone, "icon": icon}


def _initial(mix: Mix | None, versions: Versions) -> list[dict[str, Any]]:
    if mix is None:
        return []
    return [
        {
            "model": versions.called[b.model_version_id],
            "role": b.role,
            "share": ""
            if b.share_ppm is None or b.role == BindingRole.FALLBACK
            else share_text(b.share_ppm).rstrip("%"),
            "plan": b.plan_id,
            "evidence": f"run-{b.run_id}"
            if b.run_id
            else f"result-{b.evaluation_id}"
            if b.evaluation_id
            else "",
            "fact": b.fact_id,
            "assumed": b.assumed,
        }
        for b in mix.bindings
    ]
