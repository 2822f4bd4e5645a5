"""A plan version as a document: read, printed, accepted by those whom it pays; and who has accepted it."""

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts.models import Role
from config import clock, exporting, formats
from config.language import _, ngettext
from config.refusals import NotFound, Refusal
from quotas.models import PlanAcceptance, PlanState, PlanVersion
from quotas.selectors import plan_documents, statement_tables
from quotas.selectors.visibility import SEES_EVERYTHING, rep_of
from quotas.services import statements as services
from quotas.views import HtmxRequest, sales_user


@require_safe
@login_required
def document(request: HtmxRequest, slug: str, number: int) -> HttpResponseBase:
    """About 25 queries, whatever its length."""
    user, today = sales_user(request), clock.today()
    version = _version(slug, number)
    if version.published_at is None and not user.has_role(*SEES_EVERYTHING):
        raise Http404
    watches = user.has_role(Role.MANAGER, *SEES_EVERYTHING) and version.published_at is not None
    who = plan_documents.acceptances(version, user, today) if watches else []
    if form := exporting.asked(request):
        if not watches:
            raise Http404
        return exporting.answer(
            request,
            form,
            name=f"acceptances {version.plan.slug} v{version.number}",
            title=f"Who has accepted {version}",
            table=statement_tables.acceptances(who),
            total=len(who),
        )
    shown = plan_documents.document_of(version)
    rep = rep_of(user)
    done = PlanAcceptance.objects.filter(plan_version=version, rep=rep).first() if rep else None
    has = rep is not None and plan_documents.who_has(version, today).filter(pk=rep.pk).exists()
    accepted = sum(each.since is not None for each in who)
    context = {
        "version": version,
        "plan": version.plan,
        "document": shown,
        "quotas": plan_documents.quotas_under(version, rep, today) if rep and has else [],
        "rep": rep,
        "has": has,
        "done": done,
        "changed_since": done is not None and done.document_digest != shown.digest,
        "may_accept": has and done is None and version.state == PlanState.PUBLISHED,
        "watches": watches,
        "who": who,
        "accepted": accepted,
        "waiting": sum(each.since is None and each.rep.user_id is not None for each in who),
        "may_ask": user.has_role(Role.COMP_ADMIN) and version.state == PlanState.PUBLISHED,
        "today": today,
    }
    return render(request, "quotas/plan_document.html", context)


@require_POST
@login_required
def accept(request: HtmxRequest, slug: str, number: int) -> HttpResponse:
    user, version = sales_user(request), _version(slug, number)
    digest = request.POST.get("digest", "")

    def act() -> str:
        services.accept_plan(version_id=version.pk, digest=digest, by=user, at=clock.now())
        return _("You accepted %(version)s.") % {"version": version}

    return _done(request, version, act)


@require_POST
@login_required
def ask(request: HtmxRequest, slug: str, number: int) -> HttpResponse:
    """Remind those who have the plan and have not accepted it."""
    user, version = sales_user(request), _version(slug, number)

    def act() -> str:
        meant = services.ask_acceptance(version_id=version.pk, by=user, at=clock.now())
        return ngettext(
            "%(count)s rep is asked, each once a day at most.",
            "%(count)s reps are asked, each once a day at most.",
            meant,
        ) % {"count": formats.whole(meant)}

    return _done(request, version, act)


def _done(request: HtmxRequest, version: PlanVersion, act: Callable[[], str]) -> HttpResponse:
    try:
        said = act()
    except NotFound as missing:
        raise Http404 from missing
    except Refusal as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, said)
    return redirect("quotas:plan-document", version.plan.slug, version.number)


def _version(slug: str, number: int) -> PlanVersion:
    return get_object_or_404(
        PlanVersion.objects.select_related("plan", "published_by"), plan__slug=slug, number=number
    )
