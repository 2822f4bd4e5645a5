"""Logging and editing a deal, with its credit as it is typed. Works without scripts too: rows come and go by buttons."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.db.models import Case, Exists, OuterRef, QuerySet, Value, When
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.models import User
from config import clock
from config.given import given, tidy
from config.language import _, spoken
from config.paging import with_query
from config.refusals import Problem, Refusal, Stale
from marketplace.models import Customer, Offering, Publisher
from marketplace.selectors.eligibility import Chip, eligibility_strips
from marketplace.selectors.on_sale import NotSellable, why_not
from marketplace.selectors.visibility import offerings_for
from quotas.crediting.engine import Uncredited
from quotas.crediting.telling import missing_unsaved
from quotas.forms import DealForms, LineForm, Part, ShareForm, choices, rearranged
from quotas.models import (
    AccountOwnership,
    Component,
    Deal,
    DealKind,
    DealState,
    Measure,
    Rep,
    Team,
    Territory,
)
from quotas.selectors import delegations
from quotas.selectors.deals import Duplicate, Sold, Usual, duplicates, rule_names, usual_of
from quotas.selectors.visibility import deals_for, may_log_for, rep_of
from quotas.services import booking
from quotas.services.booking import EDITABLE, DealDraft
from quotas.services.crediting import Estimate, StandingChange, document, estimate
from quotas.views import HtmxRequest, sales_user, signed_in, wants_part
from quotas.views.deals import may_open, remark_of, undo_of

FOUND: Final = 12
OFFERED: Final = 50  # before anything is typed


# --- the pages --------------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@login_required
@vary_on_headers("HX-Request")
def new(request: HtmxRequest) -> HttpResponse:
    user = _seller(request)
    if request.method == "POST":
        return _sent(request, user, None)
    ending = _ending(request, user)
    draft = _renewal(ending, user) if ending else _refund_asked_for(request, user)
    entered = DealForms(user=user, today=clock.today(), draft=draft, rows=request.GET)
    return _page(request, entered, None, renews=ending)


def _refund_asked_for(request: HtmxRequest, user: User) -> DealDraft | None:
    """What is left of the approved deal that the address names, as a refund to start from."""
    original = _approved(request, user, "refunds")
    return booking.refund_of(original, on=clock.today()) if original else None


def _approved(request: HtmxRequest, user: User, name: str) -> Deal | None:
    """The approved deal that the address names, None if it names none. Raises Http404 for one that this person may not read."""
    text = request.GET.get(name, "")
    if not text.isdecimal() or len(text) > 15:
        return None
    found = (
        deals_for(user, clock.today())
        .filter(pk=int(text), state=DealState.APPROVED)
        .select_related("latest_version", "credited_version", "customer")
        .first()
    )
    if found is None:
        raise Http404
    return found


def _ending(request: HtmxRequest, user: User) -> Deal | None:
    """The deal whose renewal is to be logged. Nothing renews a refund, and usage goes on by itself."""
    ending = _approved(request, user, "renews")
    if ending is not None and ending.in_force.kind in (DealKind.REFUND, DealKind.CONSUMPTION):
        raise Http404
    return ending


def _renewal(ending: Deal, user: User) -> DealDraft:
    """Whose renewal it is: the rep's who asks, else of whoever has the account now, else of whoever sold what ends."""
    today, me = clock.today(), rep_of(user)
    owner_id = ending.owner_id
    if user.has_role("manager", "comp_admin"):
        has_it = AccountOwnership.objects.filter(
            customer=ending.customer_id, superseded_at=None, effective__contains=today
        ).first()
        if has_it is not None and may_log_for(user, has_it.rep_id, today):
            owner_id = has_it.rep_id
    elif me is not None:
        owner_id = me.pk
    return booking.renewal_of(ending, owner_id=owner_id, on=today)


@require_http_methods(["GET", "POST"])
@login_required
@vary_on_headers("HX-Request")
def edit(request: HtmxRequest, pk: int) -> HttpResponse:
    user = _seller(request)
    deal = deals_for(user, clock.today()).select_related("latest_version").filter(pk=pk).first()
    if deal is None or not may_log_for(user, deal.owner_id, clock.today()):
        raise Http404
    if request.method == "POST":
        return _sent(request, user, deal)
    if deal.state not in EDITABLE:
        messages.warning(
            request,
            _("%(deal_reference)s is %(deal)s: only a draft or a returned deal can be edited.")
            % {"deal_reference": deal.reference, "deal": spoken(deal.get_state_display()).lower()},
        )
        return redirect("quotas:deal", deal.pk)
    entered = DealForms(user=user, today=clock.today(), draft=booking.draft_of(deal), rows=request.GET)
    return _page(request, entered, deal)


@require_http_methods(["GET", "POST"])
@login_required
@vary_on_headers("HX-Request")
def amend(request: HtmxRequest, pk: int) -> HttpResponse:
    """New facts for an approved deal; begins with the amendment that waits, if there is one."""
    user = _seller(request)
    deal = _amendable(user, pk)
    if deal is None:
        raise Http404
    if request.method == "POST":
        return _amended(request, user, deal)
    if deal.state != DealState.APPROVED or deal.in_force.kind == DealKind.CONSUMPTION:
        messages.warning(
            request,
            _("%(deal_reference)s cannot be amended: only an approved deal is.")
            % {"deal_reference": deal.reference},
        )
        return redirect("quotas:deal", deal.pk)
    return _page(
        request,
        DealForms(
            user=user, today=clock.today(), draft=booking.draft_of(deal), amends=deal, rows=request.GET
        ),
        deal,
    )


def _amendable(user: User, pk: int) -> Deal | None:
    deal = (
        deals_for(user, clock.today())
        .select_related("latest_version", "credited_version", "customer", "owner", "amended_by")
        .filter(pk=pk)
        .first()
    )
    return deal if deal is not None and may_log_for(user, deal.owner_id, clock.today()) else None


def _amended(request: HtmxRequest, user: User, deal: Deal) -> HttpResponse:
    do, today = request.POST.get("do", "amend"), clock.today()
    if do not in ("amend", "draft", "submit"):
        data = rearranged(request.POST, do)
        return _page(request, DealForms(user=user, today=today, data=data, amends=deal), deal)
    entered = DealForms(user=user, today=today, data=request.POST, amends=deal)
    draft = entered.draft(strict=True) if entered.check() else None
    if draft is None:
        return _page(request, entered, deal)
    revision = request.POST.get("revision", "")
    try:
        saved = booking.amend_deal(
            deal_id=deal.pk,
            draft=draft,
            by=user,
            at=clock.now(),
            reason=tidy(entered.head["reason"].value()),
            expected_revision=int(revision) if revision.isdecimal() and len(revision) < 10 else None,
        )
    except Stale as stale:
        return _page(request, entered, deal, wrong=list(stale.problems), stale=True)
    except Refusal as refused:
        return _page(request, entered, deal, wrong=entered.place(refused.problems))
    messages.success(
        request,
        _("The amendment of %(saved_reference)s waits for approval. Until then its credit stays as it is.")
        % {"saved_reference": saved.reference},
    )
    return redirect("quotas:deal", saved.pk)


def _seller(request: HtmxRequest) -> User:
    user = sales_user(request)
    if not user.has_role("rep", "manager", "comp_admin"):
        raise Http404
    return user


def _sent(request: HtmxRequest, user: User, deal: Deal | None) -> HttpResponse:
    do = request.POST.get("do", "draft")
    today = clock.today()
    if do not in ("draft", "submit"):
        return _page(request, DealForms(user=user, today=today, data=rearranged(request.POST, do)), deal)
    entered = DealForms(user=user, today=today, data=request.POST)
    readable = entered.check()
    draft = entered.draft(strict=True) if readable else None
    if draft is None:
        return _page(request, entered, deal, wrong=_unreadable(entered, readable))
    try:
        saved = _save(user, deal, draft, request.POST.get("revision", ""), submit=do == "submit")
    except Stale as stale:
        return _page(request, entered, deal, wrong=list(stale.problems), stale=True)
    except Refusal as refused:
        if any(problem.code == "external_id_taken" for problem in refused.problems):
            return _already(request, user, draft, refused, submits=do == "submit")
        return _page(request, entered, deal, wrong=entered.place(refused.problems))
    messages.success(
        request,
        _("%(saved_reference)s is submitted and waits for approval.") % {"saved_reference": saved.reference}
        if do == "submit"
        else _("%(saved_reference)s is saved as a draft.") % {"saved_reference": saved.reference},
        extra_tags=undo_of(do, saved.pk),
    )
    return redirect("quotas:deal", saved.pk)


def _unreadable(entered: DealForms, readable: bool) -> list[Problem]:
    """Where every field can be read and there is still no deal: what no field can say."""
    if readable and entered.owner is None:
        return [
            Problem("no_rep", _("You are no rep, so you cannot own a deal: ask a comp admin to add you."))
        ]
    return []


@transaction.atomic
def _save(user: User, deal: Deal | None, draft: DealDraft, revision: str, *, submit: bool) -> Deal:
    """All or nothing: a deal that cannot be submitted is not saved half."""
    at = clock.now()
    if deal is None:
        saved = booking.log_deal(draft=draft, by=user, at=at)
    else:
        expected = int(revision) if revision.isdecimal() and len(revision) < 10 else None
        saved = booking.edit_deal(deal_id=deal.pk, draft=draft, by=user, at=at, expected_revision=expected)
    return booking.submit_deal(deal_id=saved.pk, by=user, at=at) if submit else saved


def _already(
    request: HtmxRequest, user: User, draft: DealDraft, refused: Refusal, *, submits: bool
) -> HttpResponse:
    """The same form sent twice is one deal: show it, and say so if what was sent now is not what it has."""
    first = (
        deals_for(user, clock.today())
        .select_related("latest_version")
        .filter(source=draft.source, external_id=draft.external_id)
        .first()
    )
    if first is None:
        raise refused
    named = {"first_reference": first.reference}
    if _facts_of(draft) != _facts_of(booking.draft_of(first)):
        said = _("This form logged %(first_reference)s before: what you changed in it since is not saved.")
        messages.warning(request, said % named)
    elif submits and first.state in EDITABLE:
        said = _("This deal is logged already: it is %(first_reference)s, and it is not submitted yet.")
        messages.warning(request, said % named)
    else:
        messages.info(request, _("This deal is logged already: it is %(first_reference)s.") % named)
    return redirect("quotas:deal", first.pk)


def _facts_of(draft: DealDraft) -> DealDraft:
    """What somebody enters of it, without what is told by where it is kept."""
    lines = tuple(replace(line, line_no=None, price_version_id=None) for line in draft.lines)
    return replace(draft, lines=lines)


def _page(
    request: HtmxRequest,
    entered: DealForms,
    deal: Deal | None,
    *,
    wrong: Sequence[Problem] = (),
    stale: bool = False,
    renews: Deal | None = None,
) -> HttpResponse:
    refused = bool(wrong) or any(form.errors for form in entered.parts)
    # The address keeps how many rows there are: whoever has to log in meanwhile finds as many, for what was typed.
    rows = with_query(request.GET, lines=str(len(entered.lines)), shares=str(len(entered.shares)))
    _start_at(request, entered, refused=refused)
    context = {
        "entered": entered,
        "deal": deal,
        "amends": entered.amends,
        "renews": renews,
        "remark": remark_of(deal) if deal else None,
        "usual": _usual(entered),
        "revision": request.POST.get("revision") or (deal.revision if deal else ""),
        "lines": _lines(entered),
        "shares": _shares(entered),
        "rows": rows,
        "wrong": wrong,
        "stale": stale,
        "refused": refused,
        "panel": _panel(entered, deal, signed_in(request)),
        **_choices(entered),
    }
    part, status = wants_part(request), 422 if refused else 200
    page = render(
        request, "quotas/deal_form.html#form" if part else "quotas/deal_form.html", context, status=status
    )
    if part:
        page["HX-Replace-Url"] = request.path + rows
    return page


def _start_at(request: HtmxRequest, entered: DealForms, *, refused: bool) -> None:
    """Where the cursor stands: in the first field that is wrong, in a row that was just added, else in the first one of a new deal."""
    do = request.POST.get("do", "")
    place: tuple[Part, str] | None = None
    if refused:
        wrong = (
            (form, name)
            for form in (entered.head, *entered.lines, *entered.shares)
            for name in form.fields
            if name in form.errors
        )
        place = next(wrong, None)
    elif do == "add-line" or do.startswith("remove-line-"):
        place = entered.lines[-1], "offering"
    elif do == "add-share" or do.startswith("remove-share-"):
        place = entered.shares[-1], "rep"
    elif request.method == "GET":
        known = entered.amends or request.GET.get("renews")
        place = (entered.lines[0], "amount") if known else (entered.head, "customer")
    if place is not None:
        place[0].fields[place[1]].widget.attrs["autofocus"] = True


@dataclass(frozen=True, slots=True)
class UsualShown:
    """What the customer bought before, as the form proposes it."""

    customer_id: int
    last: Deal | None
    code: str
    offerings: list[tuple[str, str]]
    currency_taken: bool = False


def _usual(entered: DealForms) -> UsualShown | None:
    """4 queries, none without a customer."""
    if entered.customer is None or entered.amends:
        return None
    found: Usual = usual_of(entered.customer.pk, deals_for(entered.user, entered.today))
    on_sale = [offering for offering in found.offerings if why_not(offering, entered.today) is None]
    options = [
        (name, _("%(name)s, sold before") % {"name": label}) for name, label in _offering_options(on_sale)
    ]
    return UsualShown(entered.customer.pk, found.last, found.currency, options)


# --- while it is typed ------------------------------------------------------------------------------------


@require_POST
@login_required
def live(request: HtmxRequest) -> HttpResponse:
    """The estimate of what is in the form; when a field was left, what is wrong with those that hold something too."""
    user = _seller(request)
    entered = DealForms(user=user, today=clock.today(), data=request.POST)
    text = request.POST.get("deal", "")
    known = text.isdecimal() and len(text) < 16
    deal = deals_for(user, clock.today()).filter(pk=int(text)).first() if known else None
    if known and request.POST.get("amends"):
        deal = _amendable(user, int(text))
        entered = DealForms(user=user, today=clock.today(), data=request.POST, amends=deal)
    left = bool(request.POST.get("left"))
    usual = _usual(entered) if left else None
    if usual and usual.code and request.POST.get("usual_of") != str(usual.customer_id):
        # Another customer than before: the currency of its last deal, which can be changed.
        data = request.POST.copy()
        data["currency"] = usual.code
        taken = entered.currency is None or entered.currency.code != usual.code
        entered = DealForms(user=user, today=clock.today(), data=data)
        usual = replace(usual, currency_taken=taken)
    context: dict[str, Any] = {
        "panel": _panel(entered, deal, user),
        "entered": entered,
        "live": True,
        "usual": usual,
    }
    if left:
        entered.check()
        draft = entered.draft(strict=False)
        if draft is not None:
            _place_leniently(entered, draft, by=user)
        context |= {"lines": _lines(entered), "shares": _shares(entered), "slots": _slots(entered)}
    return render(request, "quotas/_deal_live.html", context)


def _place_leniently(entered: DealForms, draft: DealDraft, *, by: User) -> None:
    """Problems of what is there; those of lines and shares only while each of them could be read, so that places agree."""
    whole = len(draft.lines) == len(entered.used_lines) and len(draft.shares) == len(entered.used_shares)
    for problem in booking.problems(draft, at=clock.now(), amends=entered.amends, by=by):
        if problem.pointer.startswith(("/lines/", "/shares/")) and not whole:
            continue
        entered.place([problem])


def _slots(entered: DealForms) -> list[dict[str, Any]]:
    """Errors of the fields that hold something; one that was never filled in is not wrong yet."""
    return [
        {
            "id": form[name].auto_id,
            "errors": form.errors.get(name, []) if str(form[name].value() or "").strip() else [],
        }
        for form in entered.parts
        for name, field in form.fields.items()
        if not field.widget.is_hidden
    ]


@dataclass(frozen=True, slots=True)
class LineShown:
    """A line's form with what the catalog says about its offering."""

    form: LineForm
    at: int
    offering: Offering | None
    chips: Sequence[Chip]
    refusal: NotSellable | None


@dataclass(frozen=True, slots=True)
class ShareShown:
    form: ShareForm
    at: int


def _lines(entered: DealForms) -> list[LineShown]:
    on = entered.close_date or entered.today
    sold = [entered.offering_of(form) for form in entered.lines]
    strips = eligibility_strips([offering for offering in sold if offering], on)
    return [
        LineShown(form, at, offering, strips[offering.pk] if offering else (), _refusal(offering, on))
        for at, (form, offering) in enumerate(zip(entered.lines, sold, strict=True))
    ]


def _refusal(offering: Offering | None, on: Any) -> NotSellable | None:
    return why_not(offering, on) if offering else None


def _shares(entered: DealForms) -> list[ShareShown]:
    return [ShareShown(form, at) for at, form in enumerate(entered.shares)]


def _choices(entered: DealForms) -> dict[str, Any]:
    """What the fields offer before anything is typed; customers are too many and come as one types."""
    return {
        "offering_choices": _offering_options(_offerings(entered.user, "")[:OFFERED]),
        "rep_choices": _rep_options(_reps("")[:OFFERED]),
    }


def _offering_options(found: Sequence[Offering]) -> list[tuple[str, str]]:
    names = choices(found)
    return [(names[o.pk], f"{o.publisher.name}, {spoken(o.get_kind_display()).lower()}") for o in found]


def _rep_options(found: Sequence[Rep]) -> list[tuple[str, str]]:
    names = choices(found)
    return [(names[rep.pk], "") for rep in found]


# --- the panel --------------------------------------------------------------------------------------------


@dataclass
class PersonShown:
    """One person's part in one measure: entries by rule, and where it takes him."""

    name: str
    amount: int = 0
    rules: list[tuple[str, int]] = field(default_factory=list)
    standing: StandingChange | None = None
    you: bool = False


@dataclass
class MeasureShown:
    """before: what stands now, where an amendment would change it."""

    measure: Measure
    people: list[PersonShown] = field(default_factory=list)
    total: int = 0
    before: int | None = None


@dataclass
class Panel:
    """What a deal would earn, what stands in the way, and what looks entered twice."""

    measures: list[MeasureShown] = field(default_factory=list)
    nothing: list[str] = field(default_factory=list)
    duplicates: list[tuple[int, Duplicate]] = field(default_factory=list)
    readable: frozenset[int] = frozenset()
    hint: str = ""
    remainder_ppm: int = 0


def _panel(entered: DealForms, deal: Deal | None, user: User) -> Panel:
    panel = Panel(remainder_ppm=entered.remainder_ppm)
    draft = entered.draft(strict=False)
    if draft is None or not draft.lines:
        panel.hint = _("Enter an offering and an amount: the credit appears here as you type.")
        return panel
    panel.duplicates = _duplicates(draft, deal)
    panel.readable = may_open(user, (same for _line, same in panel.duplicates))
    if panel.remainder_ppm:
        panel.hint = _("The credit appears once the split adds up to 100%.")
        return panel
    at = clock.now()
    facts = booking.facts_for([draft], amended=[entered.amends] if entered.amends else [], by=user)
    blocking = [
        p.message
        for p in booking.problems(draft, at=at, amends=entered.amends, by=user, facts=facts)
        if p.code
        in (
            "amount_too_large",
            "negative_amount",
            "refund_is_negative",
            "rep_twice",
            "unknown_currency",
            "negative_quantity",
            "quantity_out_of_range",
            "term_out_of_range",
        )
    ]
    if blocking:
        panel.hint = blocking[0]
        return panel
    found = estimate(draft=draft, at=at, amends=entered.amends, seen_by=user, facts=facts)
    _fill(panel, found, entered)
    panel.nothing = _reasons(found.uncredited, draft)
    if entered.amends:
        _instead_of(panel, found)
    if not panel.measures and not panel.nothing:
        panel.hint = _("This deal counts in no measure.")
    return panel


def _fill(panel: Panel, found: Estimate, entered: DealForms) -> None:
    credits, standings = found.credits, found.standings
    credited = {credit.measure_id for credit in credits}
    measures = {pk: measure for pk, measure in found.measures.items() if pk in credited}
    reps = {rep.pk: rep for form in entered.shares if (rep := entered.rep_of(form))}
    reps |= Rep.objects.in_bulk({credit.rep_id for credit in credits} - reps.keys())
    rules = rule_names(credit.rule_version_id for credit in credits)
    moved = {(change.measure_id, change.rep_id): change for change in standings}
    by_rule: dict[tuple[int, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for credit in credits:
        name = f"{spoken(Component(credit.component).label)}: {rules[credit.rule_version_id]}"
        by_rule[credit.measure_id, credit.rep_id][name] += credit.amount
    shown = {
        pk: MeasureShown(measure)
        for pk, measure in sorted(measures.items(), key=lambda m: (m[1].position, m[0]))
    }
    order = list(dict.fromkeys(credit.rep_id for credit in credits))
    for (measure_id, rep_id), named in sorted(by_rule.items(), key=lambda item: order.index(item[0][1])):
        person = PersonShown(
            name=reps[rep_id].name,
            amount=sum(named.values()),
            rules=list(named.items()),
            standing=moved.get((measure_id, rep_id)),
            you=entered.me is not None and rep_id == entered.me.pk,
        )
        shown[measure_id].people.append(person)
        shown[measure_id].total += person.amount
    panel.measures = list(shown.values())


def _instead_of(panel: Panel, found: Estimate) -> None:
    """What stands now beside what would stand then."""
    shown = {each.measure.pk: each for each in panel.measures}
    for pk in found.stands:
        if pk not in shown:
            panel.measures.append(MeasureShown(found.measures[pk]))
    for each in panel.measures:
        each.before = found.stands.get(each.measure.pk, 0)


def _reasons(gaps: Sequence[Uncredited], draft: DealDraft) -> list[str]:
    """In the words of a deal that was approved, with the line where there is more than one."""
    if not gaps:
        return []
    told = missing_unsaved(gaps, [document(draft)])
    lines = len(draft.lines) > 1
    return list(
        dict.fromkeys(
            _("Line %(line_no)s: %(sentence)s") % {"line_no": each.line_no, "sentence": each.sentence}
            if lines
            else each.sentence
            for each in told
        )
    )


def _duplicates(draft: DealDraft, deal: Deal | None) -> list[tuple[int, Duplicate]]:
    if not draft.customer_id or draft.kind == DealKind.REFUND:
        return []
    own = deal.pk if deal else 0
    sold = [
        Sold(draft.customer_id, line.offering_id, line.amount_minor, draft.currency, draft.close_date, own)
        for line in draft.lines
    ]
    return [(at + 1, same) for at, found in enumerate(duplicates(sold)) for same in found][:5]


# --- type-ahead -------------------------------------------------------------------------------------------


@require_safe
@login_required
def find(request: HtmxRequest, what: str) -> HttpResponse:
    """Options for a field, by a part of a name."""
    user = _seller(request)
    words = _words(request)
    if what == "customers":
        customers = _customers(words, rep_of(user))
        names = choices(customers)
        found = [(names[c.pk], f"{c.segment.replace('-', ' ').capitalize()}, {c.country}") for c in customers]
    elif what == "offerings":
        found = _offering_options(_offerings(user, words)[:FOUND])
    elif what == "reps":
        found = _rep_options(_reps(words)[:FOUND])
    elif what in ("teams", "territories"):
        things: QuerySet[Any] = Team.objects.all() if what == "teams" else Territory.objects.all()
        for word in words.split():
            things = things.filter(name__icontains=word.strip("()"))
        shown = list(things.order_by("name", "pk")[:FOUND])
        names = choices(shown)
        found = [(names[thing.pk], "") for thing in shown]
    elif what in ("publishers", "families"):
        by = "name" if what == "publishers" else "family"
        rows: QuerySet[Any] = (
            Publisher.objects.all() if what == "publishers" else offerings_for(user).exclude(family="")
        )
        for word in words.split():
            rows = rows.filter(**{f"{by}__icontains": word})
        found = [(name, "") for name in rows.order_by(by).values_list(by, flat=True).distinct()[:FOUND]]
    elif what in ("principals", "deciders"):
        people = delegations.principals(user) if what == "principals" else delegations.deciders(user)
        found = delegations.people_like(people, words, FOUND)
    else:
        raise Http404
    return render(request, "quotas/_options.html", {"options": found})


def _words(request: HtmxRequest) -> str:
    """What was typed, under whatever name the field has."""
    name = next(iter(request.GET), "")
    return given(request.GET, name)


def _customers(words: str, me: Rep | None) -> Sequence[Customer]:
    """The own accounts first, then those whose name begins so. 1 query."""
    found = Customer.objects.all()
    for word in words.split():
        found = found.filter(name__icontains=word.strip("()"))
    own = AccountOwnership.objects.filter(
        customer=OuterRef("pk"), rep=me, effective__contains=clock.today(), superseded_at=None
    )
    ranked = found.annotate(
        own=Exists(own) if me else Value(False),
        begins=Case(When(name__istartswith=words.split()[0], then=True), default=False)
        if words
        else Value(False),
    )
    return list(ranked.order_by("-own", "-begins", "name", "pk")[:FOUND]) if words else []


def _offerings(user: User, words: str) -> Sequence[Offering]:
    """What takes new deals today comes before what does not."""
    found = offerings_for(user).select_related("publisher").order_by("name", "pk")
    for word in words.split():
        found = found.filter(name__icontains=word.strip("()"))
    on = clock.today()
    return sorted(found[:300], key=lambda offering: (why_not(offering, on) is not None, offering.name))


def _reps(words: str) -> Sequence[Rep]:
    """Colleagues who are still here."""
    found = Rep.objects.filter(left_on=None).order_by("name", "pk")
    for word in words.split():
        found = found.filter(name__icontains=word.strip("()"))
    return list(found[:1000])
