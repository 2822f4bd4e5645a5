"""What gunicorn serves."""

import gc
import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.base")
application = get_wsgi_application()

# All pages are loaded now, not by the first who asks; what is loaded lives as long as the process, so that a collection
# of garbage in the middle of a request need not look at it again.
import_module(settings.ROOT_URLCONF)
gc.collect()
gc.freeze()
