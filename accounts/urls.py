"""Coming in, going out, and what happened to me or to the rules."""

from django.urls import path

from accounts import views

app_name = "accounts"
urlpatterns = [
    path("login/", views.LogIn.as_view(), name="login"),
    path("logout/", views.log_out, name="logout"),
    path("notifications/", views.notifications, name="notifications"),
    path("notifications/read/", views.mark_read, name="notifications-read"),
    path("notifications/mail/", views.choose_mails, name="mails"),
    path("preferences/", views.preferences, name="preferences"),
    path("first-steps/", views.first_steps, name="first-steps"),
    path("audit/", views.audit, name="audit"),
]
