"""The theme switch, and a page that shows every part of the interface."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from config import gallery
from config.context import THEME_COOKIE, THEMES

YEAR = 365 * 24 * 3600


@require_GET
@login_required
def styleguide(request: HttpRequest) -> HttpResponse:
    """Every component; ?theme=both shows each in light and dark side by side."""
    return render(request, "styleguide/index.html", gallery.samples(both=request.GET.get("theme") == "both"))


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Keep the chosen theme in a cookie, or forget it ("system"); then back to where one was."""
    back = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(
        back, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        back = "/"
    response = HttpResponseRedirect(back)
    chosen = request.POST.get("theme", "")
    if chosen in THEMES:
        # Readable by scripts: the switch in the page writes the same cookie.
        response.set_cookie(THEME_COOKIE, chosen, max_age=YEAR, samesite="Lax", secure=request.is_secure())
    else:
        response.delete_cookie(THEME_COOKIE, samesite="Lax")
    return response
