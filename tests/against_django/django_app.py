"""A Django project in one file whose one view does to `request.session` what the request body says.

`python django_app.py PORT DIRECTORY SETTINGS`; SETTINGS is a JSON object of Django settings. Sessions are Django's
own: its middleware, the `db` engine on SQLite. The body is a JSON list of operations such as `["set", "cat", "dog"]`;
the answer is JSON. Nothing is asked of the session that no operation asks for.
"""

import json
import sys
import threading
from datetime import datetime
from pathlib import Path

import django
from django.conf import settings
from django.contrib import auth
from django.core.management import call_command
from django.core.servers.basehttp import run
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import re_path

APPS = ("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions")
OWN = ("_auth_user_", "_session_expiry")


def configure(directory, **more):
    """Settings as `startproject` writes them, less what the view does not need."""
    settings.configure(
        ROOT_URLCONF=__name__,
        SECRET_KEY="only for a test, and long enough for it",
        ALLOWED_HOSTS=["127.0.0.1"],
        INSTALLED_APPS=APPS,
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": Path(directory) / "db.sqlite3",
                "OPTIONS": {"timeout": 20},
            }
        },
        # The tables straight from the models: a second, where migrations take many.
        MIGRATION_MODULES={name.rpartition(".")[2]: None for name in APPS},
        USE_TZ=True,
        **more,
    )


class Visit:
    """One request under way: the session as the operations see it, and what will be answered."""

    meetings = {}
    lock = threading.Lock()

    def __init__(self, request):
        self.request = request
        self.seen = {}
        self.response = HttpResponse(content_type="application/json")

    def read(self):
        """What the view finds, but for what Django keeps there for itself."""
        items = dict(self.request.session.items())
        user = self.request.user
        self.seen = {
            "data": {key: value for key, value in items.items() if not key.startswith(OWN)},
            "user": user.get_username() if user.is_authenticated else None,
        }

    def set(self, key, value):
        self.request.session[key] = value

    def unset(self, key):
        self.request.session.pop(key, None)

    def increment(self, key, by):
        self.request.session[key] = self.request.session.get(key, 0) + by

    def clear(self):
        self.request.session.clear()

    def flush(self):
        self.request.session.flush()

    def rotate(self):
        self.request.session.cycle_key()

    def expiry(self, wanted):
        if wanted == "browser":
            wanted = 0
        elif wanted == "default":
            wanted = None
        elif isinstance(wanted, str):
            wanted = datetime.fromisoformat(wanted)
        self.request.session.set_expiry(wanted)

    def login(self, name):
        user, _ = auth.get_user_model().objects.get_or_create(username=name)
        auth.login(self.request, user)

    def logout(self):
        auth.logout(self.request)

    def status(self, code):
        self.response.status_code = code

    def header(self, name, value):
        self.response[name] = value

    def fail(self):
        raise RuntimeError("a view that fails")

    def meet(self, place, parties):
        """Waits until so many requests are at this place."""
        with self.lock:
            meeting = self.meetings.setdefault(place, threading.Barrier(parties, timeout=20))
        meeting.wait()


def operate(request):
    visit = Visit(request)
    for name, *arguments in json.loads(request.body or "[]"):
        getattr(visit, name)(*arguments)
    visit.response.content = json.dumps(visit.seen)
    return visit.response


urlpatterns = [re_path("", operate)]

if __name__ == "__main__":
    port, directory, more = sys.argv[1:]
    configure(directory, **json.loads(more))
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    run("127.0.0.1", int(port), get_wsgi_application(), threading=True)
