"""The unmodified apps behind the gateway: Radicale and Django, as their own documentation says to run them.

Each lives in a fresh directory and on a free port. Both believe the header they are configured for from anybody
who can reach them, which is exactly why a gateway must stand in front.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from .process import Server, free_port

RADICALE = """\
[server]
hosts = 127.0.0.1:{port}
[auth]
type = http_x_remote_user
[rights]
type = owner_only
[storage]
filesystem_folder = {folder}
"""

# Django's own recipe for a header instead of the WSGI variable (howto/auth-remote-user).
MIDDLEWARE = """\
from django.contrib.auth.middleware import RemoteUserMiddleware


class HeaderUser(RemoteUserMiddleware):
    header = "HTTP_REMOTE_USER"
"""

SETTINGS = """
ALLOWED_HOSTS = ["127.0.0.1"]
MIDDLEWARE.insert(
    MIDDLEWARE.index("django.contrib.auth.middleware.AuthenticationMiddleware") + 1, "office.header.HeaderUser"
)
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.RemoteUserBackend"]
"""

WSGIREF = """\
from wsgiref.simple_server import make_server
from office.wsgi import application
make_server("127.0.0.1", {port}, application).serve_forever()
"""


class App:
    """A running app: its `port`, ended by `stop()`."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="app-")
        self.root = Path(self.directory.name)
        self.port = free_port()
        self.server = None

    def stop(self):
        """Ends the server and removes its files."""
        if self.server is not None:
            self.server.stop()
        self.directory.cleanup()


class Radicale(App):
    """Radicale with `[auth] type = http_x_remote_user`; its server is wsgiref, which folds `_` into `-`."""

    def __init__(self):
        super().__init__()
        config = self.root / "radicale.conf"
        config.write_text(RADICALE.format(port=self.port, folder=self.root / "collections"))
        self.server = Server([sys.executable, "-m", "radicale", "--config", config], self.port)


class Django(App):
    """A project fresh from `startproject`, its admin, RemoteUserMiddleware, and a superuser `alice`.

    `served_by`: `gunicorn` (drops `_` in header names), `runserver` (drops them too, since CVE-2015-0219)
    or `wsgiref` (folds them: the careless one).
    """

    def __init__(self, served_by="gunicorn"):
        super().__init__()
        self._django("startproject", "office", self.root)
        (self.root / "office" / "header.py").write_text(MIDDLEWARE)
        settings = self.root / "office" / "settings.py"
        settings.write_text(settings.read_text() + SETTINGS)
        self._manage("migrate", "--verbosity", "0")
        self._manage("createsuperuser", "--noinput", "--username", "alice", "--email", "alice@example.com")
        self.server = Server(self._command(served_by), self.port, cwd=self.root)

    def _command(self, served_by):
        address = f"127.0.0.1:{self.port}"
        return {
            "gunicorn": [sys.executable, "-m", "gunicorn", "--bind", address, "--workers", "1", "office.wsgi"],
            "runserver": [sys.executable, "manage.py", "runserver", "--noreload", address],
            "wsgiref": [sys.executable, "-c", WSGIREF.format(port=self.port)],
        }[served_by]

    def _manage(self, *arguments):
        self._run([sys.executable, "manage.py", *arguments])

    def _django(self, *arguments):
        self._run([sys.executable, "-m", "django", *arguments])

    def _run(self, argv):
        environment = {**os.environ, "DJANGO_SUPERUSER_PASSWORD": "unused-and-long"}
        argv = [str(part) for part in argv]
        done = subprocess.run(argv, cwd=self.root, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(f"expected {argv} to succeed, got {done.returncode}:\n{done.stdout}{done.stderr}")

    def session_rows(self):
        """How many sessions Django itself has stored."""
        code = "from django.contrib.sessions.models import Session; print(Session.objects.count())"
        argv = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", code]
        done = subprocess.run(argv, cwd=self.root, capture_output=True, text=True, check=True)
        return int(done.stdout.split()[-1])
