"""Addresses of the interface itself."""

from django.urls import path

from config import views

urlpatterns = [
    path("styleguide/", views.styleguide, name="styleguide"),
    path("theme/", views.theme, name="theme"),
]
