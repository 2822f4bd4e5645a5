"""Addresses that no app owns, below /api/v1/."""

from django.urls import path

from config.api.jobs import Jobs

urlpatterns = [
    path("jobs/<int:pk>/", Jobs.as_view({"get": "retrieve"}), name="job-detail"),
    path("jobs/<int:pk>/cancel/", Jobs.as_view({"post": "cancel"}), name="job-cancel"),
]
