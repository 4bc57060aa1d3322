"""Serves one of the tutorial programs: `python serve.py PROGRAM PORT DIRECTORY SESSION_MIDDLEWARE`.

Settings as `startproject` writes them, tables in DIRECTORY, and one user to sign in with: ann.
"""

import importlib
import sys
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from django.core.servers.basehttp import run
from django.core.wsgi import get_wsgi_application

EXAMPLES = Path(__file__).resolve().parents[3] / "config" / "examples" / "django"
APPS = ("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.messages")
PASSWORD = "a secret for ann"


def configure(program, directory, sessions, pages):
    """All that differs between the two runs is `sessions`, the middleware that makes `request.session`."""
    settings.configure(
        ROOT_URLCONF=program,
        SECRET_KEY="only for a test, and long enough for it",
        ALLOWED_HOSTS=["127.0.0.1"],
        INSTALLED_APPS=APPS,
        MIDDLEWARE=[
            sessions,
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {
                    "loaders": [("django.template.loaders.locmem.Loader", pages)],
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ],
                },
            }
        ],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(directory) / "db.sqlite3"}},
        MIGRATION_MODULES={name.rpartition(".")[2]: None for name in APPS},
        MESSAGE_STORAGE="django.contrib.messages.storage.session.SessionStorage",
        LOGIN_URL="/login/",
        LOGIN_REDIRECT_URL="/secret/",
        USE_TZ=True,
    )


def add_ann():
    from django.contrib.auth import get_user_model

    get_user_model().objects.create_user("ann", password=PASSWORD)


if __name__ == "__main__":
    program, port, directory, sessions = sys.argv[1:]
    sys.path.insert(0, str(EXAMPLES))
    # A program can be imported only after the settings, which the loader of its pages is part of.
    pages = {}
    configure(program, directory, sessions, pages)
    django.setup()
    pages.update(importlib.import_module(program).PAGES)
    call_command("migrate", run_syncdb=True, verbosity=0)
    add_ann()
    run("127.0.0.1", int(port), get_wsgi_application(), threading=True)
