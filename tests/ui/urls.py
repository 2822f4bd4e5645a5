"""A site with a few addresses, so that the frame is tested whatever pages exist."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import engines
from django.urls import include, path


class LogIn(forms.Form):
    username = forms.EmailField(label="E-mail", widget=forms.EmailInput(attrs={"autocomplete": "username"}))
    password = forms.CharField(widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}))


DEMO = [
    {
        "role": "rep",
        "label": "Sales rep",
        "email": "rep@demo.example",
        "does": "Log a deal and see its credit",
    },
    {
        "role": "manager",
        "label": "Sales manager",
        "email": "manager@demo.example",
        "does": "Approve, run the team",
    },
]


def login(request: HttpRequest) -> HttpResponse:
    form = LogIn(request.POST if request.method == "POST" else None)
    return render(request, "accounts/login.html", {"form": form, "demo_logins": DEMO, "next": "/deals/"})


def page(request: HttpRequest) -> HttpResponse:
    return render(request, "styleguide/index.html", {"sides": []})


def told(request: HttpRequest) -> HttpResponse:
    messages.success(request, "Deal approved.", extra_tags="undo:/deals/7/undo/")
    messages.error(request, "<b>Period</b> is closed.", extra_tags="undo:https://evil.example/")
    return page(request)


def opener(request: HttpRequest) -> HttpResponse:
    """A page with a link into the drawer, and one whose answer is an error."""
    page: Any = engines["django"]
    source = (
        '{% extends "base.html" %}{% block main %}<h1>Deals</h1>'
        '<a id="why" href="/sheet/" hx-get="/sheet/" hx-target="#drawer">Why</a>'
        '<button type="button" hx-post="/broken/">Break</button>{% endblock %}'
    )
    return HttpResponse(page.from_string(source).render({}, request))


def sheet(request: HttpRequest) -> HttpResponse:
    if not request.headers.get("HX-Request"):
        return HttpResponse("The whole page")
    part = render(request, "cotton/sheet.html", {"title": "Why this credit", "slot": "Rule 4", "foot": ""})
    part["HX-Trigger"] = '{"toast": {"text": "Shown.", "tone": "good"}}'
    return part


def broken(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<p>secret</p>", status=500)


urlpatterns = [
    path("opener/", opener),
    path("sheet/", sheet),
    path("broken/", broken),
    path("", page, name="home"),
    path("told/", told),
    path("", include("config.ui_urls")),
    path(
        "",
        include(
            (
                [
                    path("board/", page, name="board"),
                    path("deals/", page, name="deals"),
                    path("approvals/", page, name="approvals"),
                ],
                "quotas",
            )
        ),
    ),
    path("", include(([path("catalog/", page, name="catalog")], "marketplace"))),
    path(
        "accounts/",
        include(([path("login/", login, name="login"), path("audit/", page, name="audit")], "accounts")),
    ),
]
