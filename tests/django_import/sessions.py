"""Sessions as a real Django writes them, for tests/django_import.rs.

    python sessions.py write DIRECTORY     db.sqlite3 and files/ with some sessions; prints their ids by name
    python sessions.py write DIRECTORY TIME_ZONE
                                           the same with USE_TZ = False
    python sessions.py encode COUNT        random sessions, one JSON line each: what was kept, how it is written and signed
    python sessions.py decode              reads such lines, and fails at the first that Django reads otherwise
"""

import json
import os
import random
import sys
import time
from datetime import timedelta
from importlib import import_module
from pathlib import Path

import django
from django.conf import settings
from django.contrib import auth
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.http import HttpRequest
from django.test.utils import override_settings
from django.utils import timezone

APPS = ("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions")
SECRET, BEFORE = "the secret key of this test, now", "the secret key of this test, before"


def configure(directory, zone=None):
    if zone:
        # As Django does with TIME_ZONE when settings come from a file.
        os.environ["TZ"] = zone
        time.tzset()
    settings.configure(
        SECRET_KEY=SECRET,
        SECRET_KEY_FALLBACKS=[BEFORE],
        INSTALLED_APPS=APPS,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(directory) / "db.sqlite3"}},
        MIGRATION_MODULES={name.rpartition(".")[2]: None for name in APPS},
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        SESSION_FILE_PATH=str(Path(directory) / "files"),
        USE_TZ=zone is None,
        TIME_ZONE=zone or "America/Chicago",
    )
    django.setup()


def store(engine):
    return import_module(f"django.contrib.sessions.backends.{engine}").SessionStore()


def session(engine, user=None, expiry=None, **data):
    request = HttpRequest()
    request.session = store(engine)
    if user:
        auth.login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    request.session.update(data)
    if expiry is not None:
        request.session.set_expiry(expiry)
    request.session.save()
    return request.session.session_key


def write(directory, zone=None):
    configure(directory, zone)
    (Path(directory) / "files").mkdir()
    call_command("migrate", run_syncdb=True, verbosity=0)
    user = auth.get_user_model().objects.create_user
    ann, bob, carl, dora = (user(name, password="x") for name in ("ann", "bob", "carl", "dora"))
    ids = {}
    for engine in ("db", "file"):
        ids[engine] = {
            "anonymous": session(engine, cart=["tea", "Grüße 🧥"]),
            "ann": session(engine, ann, step=3, _messages="[]"),
            "compressed": session(engine, ann, notes="all the same " * 400),
            "browser": session(engine, bob, 0),
            "sliding": session(engine, bob, 3600),
            "moment": session(engine, bob, timezone.now() + timedelta(hours=2)),
            "nan": session(engine, bob, value=float("nan"), half="\ud800"),
            "inactive": session(engine, carl),
            "changed": session(engine, dora),
            "expired": session(engine, ann, timezone.now() - timedelta(seconds=5)),
        }
        with override_settings(SECRET_KEY=BEFORE):
            ids[engine]["fallback"] = session(engine, ann, step=4)
        with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=[]):
            ids[engine]["forged"] = session(engine, ann)
    carl.is_active = False
    carl.save()
    dora.set_password("y")
    dora.save()
    print(json.dumps(ids))


class OwnStore(SessionStore):
    """A class of the app's own: its name is part of the key that signs."""


CLASSES = {kind.__name__: kind for kind in (SessionStore, OwnStore)}


def words(most):
    """Text that can be packed, but not too well."""
    kinds = ("Grüße", "tea", "🧥", *(f"{random.getrandbits(40):x}" for _ in range(99)))
    return " ".join(random.choice(kinds) for _ in range(random.randrange(most)))


def value(depth=0):
    kinds = [None, True, -7, 2**40, 2**70, -(10**30), 0.5, 1e-7, -1.5e300, 0.1 + 0.2, float("nan"), float("-inf"), "",
             "Grüße 🧥 \"\\\n\u2028\x00", "\ud800", "long " * random.randrange(60), words(40)]
    if depth < 4 and random.random() < 0.4:
        inner = [value(depth + 1) for _ in range(random.randrange(5))]
        return inner if random.random() < 0.5 else {f"k{n}": item for n, item in enumerate(inner)}
    return random.choice(kinds)


def compact(kept):
    return json.dumps(kept, separators=(",", ":"))


def encode(count):
    configure(".")
    random.seed(4)
    for number in range(count):
        kept = {random.choice("abcdefgäß🧥") * 3: value() for _ in range(random.randrange(6))}
        if number % 100 == 0:
            # Longer than the window of zlib, and than one of its blocks.
            kept["page"] = words(30_000)
        name, secret = random.choice(list(CLASSES)), BEFORE if number % 3 == 0 else SECRET
        with override_settings(SECRET_KEY=secret):
            data = CLASSES[name]().encode(kept)
        print(json.dumps({"kept": compact(kept), "data": data, "class": name, "secret": secret}))


def decode():
    configure(".")
    count = 0
    for line in sys.stdin:
        line = json.loads(line)
        # As text: NaN is not even itself.
        read = compact(CLASSES[line["class"]]().decode(line["data"]))
        if read != line["kept"]:
            sys.exit(f"{line['data']}\nreads as {read}\nnot as {line['kept']}")
        count += 1
    print(count)


if __name__ == "__main__":
    task, *arguments = sys.argv[1:]
    match task:
        case "write":
            write(*arguments)
        case "encode":
            encode(int(arguments[0]))
        case "decode":
            decode()
