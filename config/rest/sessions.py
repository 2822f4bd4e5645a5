"""How a person's browser comes in: by the session of the pages, with the same protection against forged requests."""

from rest_framework.authentication import SessionAuthentication


class BrowserSession(SessionAuthentication):
    """The log-in of the pages. Whatever changes something must carry X-CSRFToken."""
