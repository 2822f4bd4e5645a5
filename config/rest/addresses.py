"""An address without its last slash: led on, and never quietly turned into another request."""

from django.http import HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware


class SameRequestElsewhere(HttpResponsePermanentRedirect):
    """308: a POST stays a POST. After a 301 most clients send a GET, and a deal that was posted would only be listed."""

    status_code = 308


class SlashKeepingTheMethod(CommonMiddleware):
    response_redirect_class = SameRequestElsewhere
