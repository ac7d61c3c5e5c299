"""The demo's site behind the front door."""

import os

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

from paywall import front

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_demo.settings")

wsgi = front.wsgi(get_wsgi_application())
asgi = front.asgi(get_asgi_application())
