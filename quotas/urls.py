"""Pages of selling: boards, leaderboards, deals, approvals, rules, periods."""

from django.urls import path

from quotas.views import board, leaderboard

app_name = "quotas"

urlpatterns = [
    path("quotas/board/", board.board, name="board"),
    path("quotas/board/<slug:slug>/", board.board, name="board"),
    path("quotas/leaderboard/", leaderboard.board, name="leaderboard"),
]
