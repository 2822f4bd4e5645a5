"""One offering, composed of its sections: all of them as on the day that is asked for."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from config import clock
from marketplace.extension import panels_for
from marketplace.selectors.resources import with_facts
from marketplace.selectors.visibility import offerings_for
from marketplace.views import HtmxRequest, day_asked, signed_in, wants_part
from marketplace.views.sections.answer import answer_section
from marketplace.views.sections.evidence import evidence_section
from marketplace.views.sections.facts import facts_section
from marketplace.views.sections.history import history_section
from marketplace.views.sections.lifecycle import lifecycle_section
from marketplace.views.sections.powers import powers_section
from marketplace.views.sections.prices import prices_section
from marketplace.views.sections.treatment import treatment_section


@require_safe
@login_required
@vary_on_headers("HX-Request")
def offering(request: HtmxRequest, slug: str) -> HttpResponse:
    """as_of is the day of everything on the page; on says the same in addresses of old."""
    user = signed_in(request)
    found = get_object_or_404(with_facts(offerings_for(user)), slug=slug)
    on = day_asked(request, "as_of" if request.GET.get("as_of") else "on")
    context: dict[str, Any] = {
        "offering": found,
        "today": clock.today(),
        "on": on,
        **answer_section(found, user, on, request),
    }
    if wants_part(request):
        return render(request, "marketplace/offering/_answer.html", context)
    context |= {
        "facts": facts_section(found, user, on),
        "prices": prices_section(found, user, on),
        "treatment": treatment_section(found, user, on),
        "evidence": evidence_section(found, user, on),
        "lifecycle": lifecycle_section(found, user, on),
        "history": history_section(found, user, on),
        "panels": panels_for(found, user, on),
        "powers": powers_section(found, user, on),
    }
    return render(request, "marketplace/offering.html", context)
