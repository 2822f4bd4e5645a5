"""The form of an import: what each column of a file is, how its days and numbers are written, what its words mean.

Its fields follow the file: one choice for each column, and for each column that was chosen as a day, a number or a word of
the field a question with the file's own first values in it. What comes out is the same map that a TOML file gives.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.utils.text import format_lazy

from config import formats, house
from config.language import _, later, marked, spoken, spoken_choices
from config.refusals import Problem
from marketplace.models import CommercialPath, Origin
from quotas.importers.maps import (
    FIELDS,
    PERIOD_FORMS,
    UNDECIDED,
    FieldSpec,
    ImportMapping,
    Split,
    period_named,
)
from quotas.importers.values import (
    DATE_FORMATS,
    WrongValue,
    date_reader,
    dates_seen,
    decimal_reader,
    numbers_seen,
)
from quotas.models import DealKind, ImportKind, QuotaMethod, SalesRole
from quotas.services.importing import LARGEST

TOO_LARGE: Final = (
    f"The file is larger than {LARGEST // 1024**2} MB, and nothing of it was read. On the server,"
    " manage.py import_deals FILE --map MAP.toml takes a file of any size."
)
MOST_SPLITS: Final = 3
MOST_VALUES: Final = 40
MOST_SHOWN: Final = 3
PERIOD: Final = "period"
ANY: Final = "*"
WON: Final = "won"
STAGES: Final = {
    WON: marked("Won"),
    "submitted": marked("Won, and waits for its approver in any case"),
    "draft": marked("Still open: logged as a draft"),
    "cancelled": marked("Lost: cancelled if it is here, else left out"),
    "skip": marked("Left out"),
}
"""What a stage means, for people: whether what is won is approved or waits is said once, by the policy."""
YES_NO: Final = {"true": marked("Yes, a new customer"), "false": marked("No")}
KNOWN: Final[Mapping[str, Mapping[str, str]]] = {
    "stage": STAGES,
    "kind": {kind.value: kind.label for kind in DealKind if kind != DealKind.CONSUMPTION},
    "role": dict(SalesRole.choices),
    "method": dict(QuotaMethod.choices),
    "new_customer": YES_NO,
}
WORDED: Final = ("stage", "kind", "role", "method")
"""Fields whose words are few: each word of the file is asked for by itself."""
TRANSLATED: Final = frozenset({"offering", "owner", "account", "family", "plan", "publisher", "team", "territory", "currency", "rep", "measure", "segment", "region", "new_customer", "manager"})  # fmt: skip
GROUPS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (later("The deal"), ("external_id", "title", "stage", "close_date", "amount", "currency", "kind", "quantity", "term_months", "new_customer")),
    (later("Who sold it"), ("owner", "owner_name", "team", "manager")),
    (later("The account"), ("account", "account_country", "segment", "region", "territory")),
    (later("What was sold"), ("offering", "publisher", "family", "plan")),
    (later("Where it comes from"), ("refunds", "created_on", "changed_on")),
)  # fmt: skip
CREATED: Final[tuple[tuple[str, str, str], ...]] = (
    ("since", later("From day"), later("People, teams and offerings that are made exist from this day on.")),
    ("team", later("Team"), later("Of reps whose row names none.")),
    ("role", later("Role"), later("Of reps whose row names none.")),
    ("segment", later("Segment"), later("Of accounts.")),
    ("region", later("Region"), later("Of accounts.")),
    ("country", later("Country"), later("Of accounts, as two letters, such as US.")),
    ("publisher", later("Publisher"), later("Of offerings whose row names none.")),
    ("origin", later("Origin"), later("Of publishers.")),
    ("commercial_path", later("Commercial path"), later("Of offerings.")),
)
Where = tuple[str, str]
"""(value, label) of a choice."""


class UploadForm(forms.Form):
    """A file, and what it is about."""

    use_required_attribute = False
    kind = forms.ChoiceField(label=later("What it is about"), choices=())
    file = forms.FileField(
        label=later("File"),
        allow_empty_file=True,
        help_text=format_lazy(
            later(
                "CSV, XLSX or JSON Lines as your CRM exports it, at most {megabytes} MB. Drop it here or choose it."
            ),
            megabytes=LARGEST // 1024**2,
        ),
        error_messages={"required": later("Choose a file."), "invalid": later("Choose a file.")},
        widget=forms.FileInput(
            attrs={"class": "drop", "accept": ".csv,.tsv,.txt,.xlsx,.jsonl,.ndjson,.json"}
        ),
    )
    map = forms.ChoiceField(
        label=later("How it is read"),
        required=False,
        choices=(),
        help_text=later("Parity knows the exports of the usual CRMs; what it cannot know it asks."),
    )

    def __init__(
        self, *args: Any, kinds: Sequence[Where], maps: Iterable[str], kind: str = "", **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kind"].choices = list(kinds)  # type: ignore[attr-defined]
        self.fields["kind"].initial = kind or None
        self.fields["map"].choices = [  # type: ignore[attr-defined]
            ("", _("Look at it and guess")),
            *((m, _("Saved map: %(m)s") % {"m": m}) for m in maps),
        ]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the file as its row of the page shows it."""

    at: int
    name: str
    samples: tuple[str, ...]
    field: str
    question: str
    bound: forms.BoundField
    period: forms.BoundField | None
    also: str
    by_name: bool


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one column, each with a choice of what it means."""

    field: str
    label: str
    column: str
    rows: tuple[tuple[str, forms.BoundField], ...]
    rest: forms.BoundField


class MapForm(forms.Form):
    """The map of one import. Every field of it is named after what it decides:

    c<n>  what column n is;  p<n>  the period whose target it has;  d_<field>  how its days are written;  number  how numbers are;
    w_<field>_<n>_<i>  what word i of column n means, w_<field>_any any other;  t_<field>  translations as text;
    k_<field>  a value for every row, or where the cell is empty;  n_<key>  defaults of what is created;  and the options by name.
    """

    use_required_attribute = False

    def __init__(
        self,
        data: Mapping[str, str] | None = None,
        *,
        kind: str,
        look: Mapping[str, Any],
        mapping: ImportMapping,
        options: Mapping[str, Any],
        calendars: Sequence[Where] = (),
        policies: Sequence[str] = (),
        again: bool = False,
    ) -> None:
        self.kind, self.look, self.base = kind, look, _decided(mapping)
        self.specs: dict[str, FieldSpec] = {spec.name: spec for spec in FIELDS[kind]}
        self.heads = [str(column["name"]) for column in look.get("columns", [])]
        self.samples = [
            [_text(s) for s in column.get("distinct") or column.get("samples", []) if _text(s)]
            for column in look.get("columns", [])
        ]
        self._data = data
        self.policy = str(options.get("policy", "") if data is None else data.get("policy", ""))
        self.questions: dict[str, list[str]] = {}
        for question in look.get("questions", []):
            about = str(question.get("column") or question.get("field") or "")
            self.questions.setdefault(about, []).append(self._asked(question))
        super().__init__(None if again else data, auto_id="id_%s")
        self.reads = self._reads()
        self.column_of = {name: at for at, name in enumerate(self.reads) if name}
        self.by_name = self._periods_by_name()
        self._put_columns()
        self._put_days()
        self._put_numbers()
        self._put_words()
        self._put_fixed()
        self._put_file(calendars)
        self._put_options(options, policies)
        if again and data is not None:
            for name, field in self.fields.items():
                self.initial[name] = (
                    name in data if isinstance(field, forms.BooleanField) else data.get(name, "")
                )
        for name, field in self.fields.items():
            ids = [f"id_{name}_helptext"] if field.help_text else []
            if not isinstance(field.widget, forms.RadioSelect):
                field.widget.attrs["aria-describedby"] = " ".join([*ids, f"id_{name}_error"])

    def _asked(self, question: Mapping[str, Any]) -> str:
        """What a question says here, where its answer is chosen further down."""
        field = question.get("field", "")
        if question.get("column") in self.heads and field in self.specs:
            if field in WORDED:
                return _("Say below what its words mean.")
            if self.specs[field].kind == "date" and question.get("choices"):
                return _("Its days can be read in more than one way: choose below.")
        return str(question["why"])

    @property
    def wants_offerings(self) -> bool:
        """Every row has the same offering, and it is named here."""
        return "offering" not in self.column_of and "k_offering" in self.fields

    # What the columns are.

    def _now(self, name: str, otherwise: str) -> str:
        """What was sent, else what the map says."""
        return otherwise if self._data is None else str(self._data.get(name, "")).strip()

    def _reads(self) -> list[str]:
        """What each column is read as: a field, a part of a split, a period, or nothing."""
        said = [""] * len(self.heads)
        known = {head.strip().casefold(): at for at, head in reversed(list(enumerate(self.heads)))}
        twice: dict[int, list[str]] = {}

        def put(what: str, column: str) -> None:
            at = known.get(column.strip().casefold())
            if at is not None:
                if said[at]:
                    twice.setdefault(at, []).append(what)
                else:
                    said[at] = what

        for field, column in self.base.columns.items():
            put(field, column)
        for n, split in enumerate(self.base.splits, 1):
            put(f"split-{n}-rep", split.rep)
            put(f"split-{n}-percent", split.percent)
        for column in self.base.periods:
            put(PERIOD, column)
        self.also = {field: at for at, fields in twice.items() for field in fields}
        return [self._now(f"c{at}", what) for at, what in enumerate(said)]

    def _periods_by_name(self) -> dict[int, str]:
        """Columns of a wide table that say themselves which period they are."""
        form = self._now("period_form", self.base.period_form)
        if not form or "period" in self.column_of:
            return {}
        calendar = self._now("calendar", self.base.calendar)
        named = {
            at: period_named(head, form, calendar) for at, head in enumerate(self.heads) if not self.reads[at]
        }
        return {at: period for at, period in named.items() if period}

    def _choices(self) -> list[Any]:
        """What a column may be, by group; what an import of this kind needs is marked."""
        left = dict(self.specs)
        grouped: list[Any] = [("", _("Not read"))]

        def option(spec: FieldSpec) -> Where:
            label = spoken(spec.label)
            return spec.name, _("%(spec_label)s (needed)") % {"spec_label": label} if spec.needed else label

        if self.kind == ImportKind.DEALS:
            for label, names in GROUPS:
                grouped.append((label, [option(left.pop(name)) for name in names if name in left]))
            grouped.append(
                (
                    _("Shares"),
                    [
                        (f"split-{n}-{part}", f"{word} {n}")
                        for n in range(1, MOST_SPLITS + 1)
                        for part, word in (("rep", _("Rep who shares")), ("percent", _("Percent of rep")))
                    ],
                )
            )
        rest = [option(spec) for spec in left.values()]
        grouped.append((_("More"), rest)) if self.kind == ImportKind.DEALS and rest else grouped.extend(rest)
        if self.kind == ImportKind.QUOTAS:
            grouped.append((PERIOD, _("Targets of one period")))
        return grouped

    def _put_columns(self) -> None:
        choices = self._choices()
        for at, head in enumerate(self.heads):
            named = [("", _("Targets of %(head)s") % {"head": head}), *choices[1:]]
            self.fields[f"c{at}"] = forms.ChoiceField(
                label=later("What “%(head)s” is") % {"head": head},
                choices=named if at in self.by_name else choices,
                required=False,
                initial=self.reads[at],
            )
            self.fields[f"c{at}"].widget.attrs["class"] = "reads"
            if self.reads[at] == PERIOD:
                self.fields[f"p{at}"] = forms.CharField(
                    label=later("Period of “%(head)s”") % {"head": head},
                    max_length=40,
                    initial=self.base.periods.get(head, ""),
                    error_messages={"required": later("Which period? Such as FY27-M01, or its first day.")},
                )

    def _values_of(self, field: str) -> list[str]:
        at = self.column_of.get(field, self.also.get(field))
        return self.samples[at] if at is not None else []

    # Days and numbers, with the file's own values.

    def _put_days(self) -> None:
        self.days: list[str] = []
        self.destroyed: list[str] = []
        for name in self._of_kind("date"):
            samples = self._values_of(name)
            if not samples:
                continue
            seen = dates_seen(samples)
            said = self.base.form_of(name)
            if seen.destroyed:
                self.destroyed.append(name)
            if seen.formats and said not in seen.formats:
                said = ""
            choices = _ways(seen.formats or DATE_FORMATS, samples, date_reader, _day, said)
            self.fields[f"d_{name}"] = forms.ChoiceField(
                label=later("Days in “%(name)s”") % {"name": self.head_of(name)},
                choices=choices,
                initial=choices[0][0] if len(choices) == 1 else said,
                widget=forms.RadioSelect if len(choices) < 6 else forms.Select,
                error_messages={
                    "required": later(
                        "Both readings fit every value that was looked at. Choose the one that your CRM writes."
                    )
                },
            )
            self.days.append(f"d_{name}")

    def _put_numbers(self) -> None:
        self.numbers, self.number = False, ""
        names = [*self._of_kind("decimal"), *self._of_kind("whole")]
        samples = [value for name in names for value in self._values_of(name)]
        for at, what in enumerate(self.reads):
            if what == PERIOD or at in self.by_name:
                samples += self.samples[at]
        if not samples:
            return
        seen = numbers_seen(samples)
        said = f"{self.base.decimal}|{self.base.grouping}" if self.base.decimal else ""
        if said and seen.choices and any(isinstance(_read(_number_reader(said), v), str) for v in samples):
            said = ""  # what the map says does not read this file, and something else does
        forms_of = [f"{decimal}|{grouping}" for decimal, grouping in seen.choices] or [
            ".|",
            ".|,",
            ",|",
            ",|.",
        ]
        choices = _ways(forms_of, samples, _number_reader, _number, said)
        if len(choices) > 1 or not seen.choices:
            self.fields["number"] = forms.ChoiceField(
                label=later("Numbers"), choices=choices, initial=said, widget=forms.RadioSelect,
                error_messages={"required": later("Both readings fit every value that was looked at. Choose one.")},
            )  # fmt: skip
            self.numbers = True
        self.number = choices[0][0]

    def _of_kind(self, kind: str) -> list[str]:
        return [
            s.name
            for s in self.specs.values()
            if s.kind == kind and (s.name in self.column_of or s.name in self.also)
        ]

    # Words of the field.

    def _put_words(self) -> None:
        self.words: list[Words] = []
        for name in WORDED:
            at, known = self.column_of.get(name), KNOWN[name]
            if name not in self.specs or at is None:
                continue
            said = {_key(word): means for word, means in self.base.values.get(name, {}).items()}
            rows = []
            options = spoken_choices(known.items())
            for i, word in enumerate(self._distinct(at)):
                self.fields[f"w_{name}_{at}_{i}"] = forms.ChoiceField(
                    label=word,
                    choices=[("", _("Choose what it means")), *options],
                    initial=self._stage(name, said.get(_key(word), _itself(word, known))),
                    error_messages={"required": later("Choose what “%(word)s” means.") % {"word": word}},
                )
                rows.append((word, self[f"w_{name}_{at}_{i}"]))
            self.fields[f"w_{name}_any"] = forms.ChoiceField(
                label=later("Any other word"),
                required=False,
                choices=[("", _("Refused, with its line in the report")), *options],
                initial=self._stage(name, said.get(ANY, "")),
            )
            self.words.append(
                Words(
                    name, spoken(self.specs[name].label), self.heads[at], tuple(rows), self[f"w_{name}_any"]
                )
            )
        self.translations: list[str] = []
        for name in self.specs:
            if name in TRANSLATED and name in self.column_of:
                lines = [f"{word} = {means}" for word, means in self.base.values.get(name, {}).items()]
                self.fields[f"t_{name}"] = forms.CharField(
                    label=spoken(self.specs[name].label),
                    required=False,
                    max_length=20_000,
                    initial="\n".join(lines),
                    help_text=later(
                        "One a line, as the file has it = as Parity calls it, such as GTXPro = GTX Pro."
                    ),
                    widget=forms.Textarea(attrs={"rows": 3}),
                )
                self.translations.append(f"t_{name}")

    def _stage(self, field: str, means: str) -> str:
        """A stage of the map as the page says it: without a policy whatever is won waits anyway."""
        if field != "stage" or means not in ("approved", "submitted"):
            return means
        return WON if means == "approved" or not self.policy else means

    def _won(self, field: str, means: str) -> str:
        """And back."""
        if field != "stage" or means != WON:
            return means
        return "approved" if self.cleaned_data.get("policy") else "submitted"

    def _distinct(self, at: int) -> list[str]:
        by_key: dict[str, str] = {}
        for word in self.samples[at]:
            if _key(word) not in {_key(null) for null in self.base.nulls}:
                by_key.setdefault(_key(word), word)
        return sorted(by_key.values(), key=str.casefold)[:MOST_VALUES]

    # Values that are not in the file.

    def _put_fixed(self) -> None:
        self.needs: list[str] = []
        self.fixed: list[str] = []
        self.empties: list[str] = []
        for name, spec in self.specs.items():
            here = name in self.column_of or name in self.also
            if name in ("external_id", "refunds", "changed_on", "created_on", "owner_name") and not here:
                continue  # these are of one deal alone
            if here and name == "external_id":
                continue  # an id that several deals have is none
            held = self.base.defaults if here else self.base.constants
            label, must = spoken(spec.label), spec.needed and not here
            known = KNOWN.get(name)
            field: forms.Field
            if known:
                field = forms.ChoiceField(
                    label=label,
                    required=must,
                    choices=[("", "–"), *spoken_choices(known.items())],
                    help_text=spoken(spec.help),
                )
            else:
                field = forms.CharField(
                    label=label,
                    required=must,
                    max_length=200,
                    help_text=spoken(spec.help),
                    widget=forms.TextInput(
                        attrs={
                            "autocomplete": "off",
                            **({"list": "currencies"} if spec.kind == "currency" else {}),
                        }
                    ),
                )
            if name == "offering" and not here:
                field.widget.attrs["list"] = "offerings"
            field.initial = self._stage(name, held.get(name, ""))
            field.error_messages["required"] = _("Say it for every row, or choose its column above.")
            self.fields[f"k_{name}"] = field
            wanted = not here and (spec.needed or name == "currency" or bool(held.get(name)))
            (self.empties if here else self.needs if wanted else self.fixed).append(f"k_{name}")

    def _put_file(self, calendars: Sequence[Where]) -> None:
        base = self.base
        deals = self.kind == ImportKind.DEALS
        self.fields["source"] = forms.CharField(
            label=later("Source"),
            max_length=20,
            required=deals,
            initial=base.source,
            help_text=later(
                "The system that the file comes from, such as salesforce. With the deal's own id it says which deal a row is, so keep it the same next time."
            )
            if deals
            else later("The system that the file comes from."),
            widget=forms.TextInput(attrs={"autocomplete": "off"}),
            error_messages={
                "required": later("Name the system that the file comes from, such as salesforce.")
            },
        )
        self.fields["calendar"] = forms.ChoiceField(
            label=later("Fiscal calendar"),
            required=False,
            choices=[("", _("The operator's")), *calendars],
            initial=base.calendar,
            help_text=later("Whose periods take the credit. Other years are opened under Periods."),
        )
        self.fields["encoding"] = forms.ChoiceField(
            label=later("Characters"),
            required=False,
            initial=base.encoding,
            choices=_with(
                [("", _("As seen (%(value)s)") % {"value": self.look.get('encoding') or 'UTF-8'}), ("utf-8", "UTF-8"), ("utf-16", "UTF-16"), ("cp1252", "Windows-1252")],
                base.encoding,
            ),
        )  # fmt: skip
        delimiters = [(",", _("Comma")), (";", _("Semicolon")), ("\t", _("Tab")), ("|", _("Bar"))]
        self.fields["delimiter"] = forms.ChoiceField(
            label=later("Cells are parted by"),
            required=False,
            initial="tab" if base.delimiter == "\t" else base.delimiter,
            choices=_with(
                [("", _("As seen")), *(("tab" if sign == "\t" else sign, word) for sign, word in delimiters)],
                "tab" if base.delimiter == "\t" else base.delimiter,
            ),
        )
        if self.look.get("sheets"):
            self.fields["sheet"] = forms.ChoiceField(
                label=later("Sheet"),
                required=False,
                initial=base.sheet,
                choices=_with(
                    [("", _("The first with a table")), *((s, s) for s in self.look["sheets"])], base.sheet
                ),
            )
        self.fields["nulls"] = forms.CharField(
            label=later("Words for nothing"),
            required=False,
            max_length=200,
            initial=", ".join(sorted(base.nulls)),
            help_text=later("Cells that are read as empty, with commas between, such as NULL, n/a."),
        )
        if self.kind == ImportKind.QUOTAS:
            self.fields["period_form"] = forms.ChoiceField(
                label=later("Columns that are named after periods"),
                required=False,
                choices=[
                    ("", _("None")),
                    *((form, _("Such as %(form)s") % {"form": form}) for form in PERIOD_FORMS),
                ],
                initial=base.period_form,
                help_text=later("A table with one column a month or quarter."),
            )
        if base.splits or any(what.startswith("split-") for what in self.reads):
            self.fields["fractions"] = forms.BooleanField(
                label=later("Percentages of shares are written 0 to 1, such as 0.3 for 30%"),
                required=False,
                initial=base.fractions,
            )
        if self.kind == ImportKind.DEALS:
            self.fields["several_lines"] = forms.BooleanField(
                label=later("Rows with the same id, one below the other, are lines of one deal"),
                required=False,
                initial=base.several_lines,
            )

    def _put_options(self, options: Mapping[str, Any], policies: Sequence[str]) -> None:
        what = {
            ImportKind.DEALS.value: _(
                "Make reps, teams, accounts, offerings and publishers that Parity does not know"
            ),
            ImportKind.REPS.value: _("Make reps, teams and territories that Parity does not know"),
        }.get(self.kind, _("Make reps and territories that Parity does not know"))
        self.fields["create_missing"] = forms.BooleanField(
            label=what,
            required=False,
            initial=options.get("create_missing", False),
            help_text=later("Without it such rows are refused, and the report names them."),
        )
        self.created: list[str] = []
        for key, label, said in CREATED:
            if self.kind != ImportKind.DEALS and key not in ("since", "team", "role"):
                continue
            known: list[Where] = {
                "origin": spoken_choices(Origin.choices),
                "commercial_path": spoken_choices(CommercialPath.choices),
                "role": spoken_choices(SalesRole.choices),
            }.get(key, [])
            initial = self.base.create.get(key, "")
            if key == "since":
                self.fields["n_since"] = forms.DateField(
                    label=label, required=False, help_text=said, initial=initial,
                    error_messages={"invalid": later("Enter a day, such as 2026-07-01.")},
                    widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
                )  # fmt: skip
            elif known:
                self.fields[f"n_{key}"] = forms.ChoiceField(
                    label=label, required=False, help_text=said, initial=initial, choices=[("", "–"), *known]
                )
            else:
                self.fields[f"n_{key}"] = forms.CharField(
                    label=label, required=False, help_text=said, initial=initial, max_length=120
                )
            self.created.append(f"n_{key}")
        if self.kind == ImportKind.DEALS:
            self.fields["eligibility_reason"] = forms.CharField(
                label=later("Why new offerings count toward quota"),
                required=False,
                max_length=500,
                initial=options.get("eligibility_reason", ""),
                help_text=later(
                    "Becomes a decision under your name. Without a reason their deals come in and earn nothing until one is decided."
                ),
            )
            self.fields["policy"] = forms.ChoiceField(
                label=later("Straight-through policy"),
                required=False,
                initial=options.get("policy", ""),
                choices=[("", _("None: what is won waits for its approver")), *((p, p) for p in policies)],
                help_text=later("Approves won deals that meet its conditions; the others wait."),
            )
            self.fields["cancel_gone"] = forms.BooleanField(
                label=later("This is everything the source has: deals that are gone from it are cancelled"),
                required=False,
                initial=options.get("cancel_gone", False),
            )
        self.fields["all_or_nothing"] = forms.BooleanField(
            label=later("All rows or none: one refused row keeps the whole file out"),
            required=False,
            initial=options.get("all_or_nothing", False),
        )

    # What the page shows.

    def head_of(self, field: str) -> str:
        at = self.column_of.get(field, self.also.get(field))
        return self.heads[at] if at is not None else ""

    @property
    def columns(self) -> list[Column]:
        return [
            Column(
                at,
                head,
                tuple(self.samples[at][:MOST_SHOWN]),
                self.reads[at],
                " ".join(self.questions.get(head, [])),
                self[f"c{at}"],
                self[f"p{at}"] if f"p{at}" in self.fields else None,
                ", ".join(
                    spoken(self.specs[name].label)
                    for name, place in self.also.items()
                    if place == at and name in self.specs
                ),
                at in self.by_name,
            )
            for at, head in enumerate(self.heads)
        ]

    @property
    def general(self) -> list[str]:
        """Questions that are about no column."""
        return [why for key, every in self.questions.items() if key not in self.heads for why in every]

    def these(self, names: Iterable[str]) -> list[forms.BoundField]:
        return [self[name] for name in names]

    @property
    def stage_words(self) -> bool:
        return any(words.field == "stage" for words in self.words)

    @property
    def day_fields(self) -> list[forms.BoundField]:
        return self.these(self.days)

    @property
    def need_fields(self) -> list[forms.BoundField]:
        return self.these(self.needs)

    @property
    def fixed_fields(self) -> list[forms.BoundField]:
        return self.these(self.fixed)

    @property
    def empty_fields(self) -> list[forms.BoundField]:
        return self.these(self.empties)

    @property
    def translation_fields(self) -> list[forms.BoundField]:
        return self.these(self.translations)

    @property
    def created_fields(self) -> list[forms.BoundField]:
        return self.these(self.created)

    @property
    def file_fields(self) -> list[forms.BoundField]:
        here: tuple[str, ...] = ("calendar", "nulls", "encoding", "delimiter", "sheet")
        if self.kind != ImportKind.DEALS:
            here = (*here, "source")
        return self.these(name for name in here if name in self.fields)

    @property
    def destroyed_columns(self) -> list[str]:
        return [self.head_of(name) for name in self.destroyed]

    # What was said.

    def clean(self) -> dict[str, Any]:
        seen: Counter[str] = Counter(what for what in self.reads if what and what != PERIOD)
        for at, what in enumerate(self.reads):
            if what and seen[what] > 1:
                first = self.heads[self.reads.index(what)]
                if self.reads.index(what) != at:
                    self.add_error(
                        f"c{at}",
                        _("“%(first)s” is read as this already. Choose one of the two.") % {"first": first},
                    )
        for name in self.translations:
            for line in str(self.cleaned_data.get(name) or "").splitlines():
                if line.strip() and "=" not in line:
                    self.add_error(name, _("“%(line)s” has no equals sign.") % {"line": line.strip()[:60]})
                    break
        return self.cleaned_data

    def mapping(self) -> ImportMapping:
        """The map that was clicked together; what the page does not show stays as it was."""
        said, base = self.cleaned_data, self.base
        columns = {
            what: self.heads[at]
            for at, what in enumerate(self.reads)
            if what and what != PERIOD and not what.startswith("split-")
        }
        for field, at in self.also.items():  # a column that is read as two fields: the page shows the first
            if field not in columns and field in self.specs and self.reads[at]:
                columns[field] = self.heads[at]
        days = {name: base.form_of(name) for name in self._of_kind("date") if base.form_of(name)}
        days |= {name[2:]: said[name] for name in self.days if said.get(name)}
        usual = base.date_format or (Counter(days.values()).most_common(1)[0][0] if days else "YYYY-MM-DD")
        number = said.get("number") or self.number
        decimal, _bar, grouping = (
            number.partition("|") if number else (base.decimal or ".", "", base.grouping)
        )
        fixed = {name[2:]: str(said.get(name) or "").strip() for name in (*self.needs, *self.fixed)}
        empty = {name[2:]: str(said.get(name) or "").strip() for name in self.empties}
        delimiter = said["delimiter"]
        changed: dict[str, Any] = {
            "source": said["source"].strip(),
            "encoding": said["encoding"],
            "delimiter": "\t" if delimiter == "tab" else delimiter,
            "sheet": said.get("sheet", base.sheet),
            "nulls": frozenset(part.strip() for part in said["nulls"].split(",") if part.strip()),
            "date_format": usual,
            "date_formats": {name: form for name, form in days.items() if form != usual},
            "decimal": decimal,
            "grouping": grouping,
            "columns": columns,
            "constants": {name: self._won(name, value) for name, value in fixed.items() if value},
            "defaults": {name: self._won(name, value) for name, value in empty.items() if value},
            "values": self._meanings(),
            "splits": self._splits(),
            "several_lines": bool(said.get("several_lines", base.several_lines)),
            "fractions": bool(said.get("fractions", base.fractions)),
            "period_form": said.get("period_form", base.period_form),
            "calendar": said["calendar"],
            "periods": {
                self.heads[at]: said[f"p{at}"].strip()
                for at, what in enumerate(self.reads)
                if what == PERIOD and said.get(f"p{at}")
            },
            "create": {
                **{k: v for k, v in base.create.items() if f"n_{k}" not in self.fields},
                **{name[2:]: _text(said[name]) for name in self.created if said.get(name)},
            },
        }
        return replace(base, **changed)

    def _meanings(self) -> dict[str, dict[str, str]]:
        found = {field: dict(words) for field, words in self.base.values.items()}
        for words in self.words:
            mine = {
                _key(word): (word, self._won(words.field, self.cleaned_data.get(bound.name, "")))
                for word, bound in words.rows
            }
            kept = {w: m for w, m in found.get(words.field, {}).items() if _key(w) not in mine and w != ANY}
            kept.update({word: means for word, means in mine.values() if means})
            if rest := self.cleaned_data.get(words.rest.name):
                kept[ANY] = self._won(words.field, rest)
            found[words.field] = kept
        for name in self.translations:
            lines = [line for line in str(self.cleaned_data.get(name) or "").splitlines() if "=" in line]
            parted = [line.rpartition("=") for line in lines]
            found[name[2:]] = {word.strip(): means.strip() for word, _equals, means in parted if word.strip()}
        return {field: words for field, words in found.items() if words and field in self.column_of}

    def _splits(self) -> tuple[Split, ...]:
        pairs = [
            (self.column_of.get(f"split-{n}-rep"), self.column_of.get(f"split-{n}-percent"))
            for n in range(1, max(MOST_SPLITS, len(self.base.splits)) + 1)
        ]
        return tuple(
            Split(self.heads[rep], self.heads[percent])
            for rep, percent in pairs
            if rep is not None and percent is not None
        )

    def options(self) -> dict[str, Any]:
        names = ("create_missing", "eligibility_reason", "all_or_nothing", "cancel_gone", "policy")
        return {name: self.cleaned_data[name] for name in names if name in self.fields}

    def place(self, problems: Iterable[Problem]) -> None:
        """Each problem beside the choice that it is about, by the path into the map; the others above the form."""
        for problem in problems:
            self.add_error(self._where(problem.pointer), problem.message)

    def _where(self, pointer: str) -> str | None:
        parts = [part for part in pointer.replace(".", "/").split("/") if part]
        known: list[str] = []
        for part in reversed(parts):
            at = self.column_of.get(part, self.also.get(part))
            head = next((i for i, head in enumerate(self.heads) if head == part), None)
            known += [part, f"d_{part}", f"w_{part}_any", f"t_{part}", f"n_{part}"]
            if at is not None or head is not None:
                known.append(f"c{at if at is not None else head}")
            known.append(f"k_{part}")
        by_form = {"date": self.days[:1], "decimal": ["number"], "grouping": ["number"]}
        known += [name for part in parts for name in by_form.get(part, [])]
        if parts[:1] == ["columns"]:
            known.sort(key=lambda name: not name.startswith(("c", "k_")))
        return next((name for name in known if name in self.fields), None)


def _decided(mapping: ImportMapping) -> ImportMapping:
    """Without what a person still has to choose: nothing is chosen there."""

    def known(held: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in held.items() if value != UNDECIDED}

    return replace(
        mapping,
        date_format=mapping.date_format.replace(UNDECIDED, ""),
        date_formats={name: form.replace(UNDECIDED, "") for name, form in mapping.date_formats.items()},
        decimal=mapping.decimal.replace(UNDECIDED, ""),
        grouping=mapping.grouping.replace(UNDECIDED, ""),
        columns=known(mapping.columns),
        constants=known(mapping.constants),
        defaults=known(mapping.defaults),
        values={name: known(words) for name, words in mapping.values.items()},
        periods=known(mapping.periods),
        period_form=mapping.period_form.replace(UNDECIDED, ""),
        create=known(mapping.create),
    )


def _with(choices: list[Where], value: str) -> list[Where]:
    """With what a map written by hand says, if the page does not offer it."""
    return choices if value in dict(choices) else [*choices, (value, value)]


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _key(word: str) -> str:
    return word.strip().casefold()


def _itself(word: str, known: Mapping[str, str]) -> str:
    """A word that is one of the field's own."""
    wanted = _key(word).replace(" ", "_")
    return next(
        (value for value, label in known.items() if wanted in (value, _key(label).replace(" ", "_"))), ""
    )


def _ways(
    every: Iterable[str],
    samples: Sequence[str],
    reader_of: Callable[[str], Callable[[Any], Any]],
    written: Callable[[Any], str],
    said: str,
) -> list[Where]:
    """The ways to read the samples that differ in one of them, each with what becomes of up to three; the one in use stands for its like."""
    readings: dict[tuple[Any, ...], str] = {}
    for form in dict.fromkeys([*every, *([said] if said in DATE_FORMATS or "|" in said else [])]):
        key = tuple(_read(reader_of(form), value) for value in samples)
        if form == said or key not in readings:
            readings[key] = form
    unlike = [at for at in range(len(samples)) if len({key[at] for key in readings}) > 1]
    telling = list(dict.fromkeys([*unlike, *range(len(samples))]))
    shown: list[int] = []
    for at in telling:
        if samples[at] not in [samples[i] for i in shown] and len(shown) < MOST_SHOWN:
            shown.append(at)
    return [
        (
            form,
            ", ".join(
                _("%(samples)s is %(key)s") % {"samples": samples[at], "key": _said(key[at], written)}
                for at in sorted(shown)
            ),
        )
        for key, form in readings.items()
    ]


def _read(reader: Callable[[Any], Any], value: str) -> Any:
    try:
        return reader(value)
    except WrongValue as wrong:
        return wrong.code


def _said(value: Any, written: Callable[[Any], str]) -> str:
    return _("not read") if isinstance(value, str) else "empty" if value is None else written(value)


def _day(value: date) -> str:
    return f"{value.day} {house.month_long(value)}"


def _number(value: Decimal) -> str:
    return formats.decimal(value)


def _number_reader(form: str) -> Callable[[Any], Any]:
    decimal, _bar, grouping = form.partition("|")
    return decimal_reader(decimal, grouping)
