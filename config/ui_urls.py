"""Addresses of the interface itself."""

from django.urls import path

from config import lists, views

urlpatterns = [
    path("styleguide/", views.styleguide, name="styleguide"),
    path("theme/", views.theme, name="theme"),
    path("lists/", lists.arrange, name="list-arrange"),
    path("lists/views/", lists.keep, name="list-view-save"),
    path("lists/views/<int:pk>/remove/", lists.drop, name="list-view-remove"),
]
