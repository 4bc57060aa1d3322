"""The two servers that are compared, each in the same three settings, behind one driver.

A `Scene` is one row played on one of them: browsers that ask for operations, and a line of text for each answer
that says what the browser can see of it. Two servers behave the same when these lines are equal.
"""

import http.client
import itertools
import json
import sys
import tempfile
import threading
from pathlib import Path

from support.gateway import BINARY
from support.process import Server, free_port

HERE = Path(__file__).resolve().parent

# Names of the settings, with what each means to Django and to Cloakroom.
SETTINGS = {
    "": ({}, {}),
    "save every request": ({"SESSION_SAVE_EVERY_REQUEST": True}, {"save_every_request": "true"}),
    "strict": (
        {"SESSION_COOKIE_SAMESITE": "Strict", "SESSION_COOKIE_HTTPONLY": False, "SESSION_COOKIE_DOMAIN": "example.com"},
        {"same_site": "strict", "http_only": "false", "domain": "example.com"},
    ),
    "browser close": ({"SESSION_EXPIRE_AT_BROWSER_CLOSE": True}, {"persistent": "false"}),
}

DEFAULTS = {
    "persistent": "true", "save_every_request": "false", "same_site": "lax", "http_only": "true", "domain": "null",
}

YAML = """\
listeners:
  - address: 127.0.0.1:{port}
data_dir: {root}/data
session:
  cookie:
    secure: false
    http_only: {http_only}
    same_site: {same_site}
    domain: {domain}
    persistent: {persistent}
  idle_timeout: null
  absolute_timeout: 14d
  rotate_every: null
  save_every_request: {save_every_request}
store: {{ type: memory }}
admin: {{ address: null }}
routes:
  - name: operations
    path: /
    access: public
    session_headers: read_write
    upstream: http://127.0.0.1:{app}
    identity: {{ headers: remote }}
  - name: a view that never looks at the session
    path: /untouched
    access: public
    session_headers: none
    upstream: http://127.0.0.1:{app}
    identity: {{ headers: {{}} }}
"""


class Column:
    """A server under comparison: `name`, and a port that speaks the language of the operations."""

    def __init__(self, name, start):
        self.name = name
        self._directory = tempfile.TemporaryDirectory(prefix="column-")
        self.port = free_port()
        self.server = start(self.port, Path(self._directory.name))

    def stop(self):
        """Ends the server and removes its files."""
        self.server.stop()
        self._directory.cleanup()


def django(settings):
    """A Django with these settings."""
    argv = [sys.executable, HERE / "django_app.py"]
    return Column("Django", lambda port, root: Server([*argv, port, root, json.dumps(SETTINGS[settings][0])], port))


def cloakroom(settings, app):
    """Cloakroom with the settings that mean the same, before the app on this port."""

    def start(port, root):
        config = root / "cloakroom.yaml"
        config.write_text(YAML.format(port=port, root=root, app=app, **{**DEFAULTS, **SETTINGS[settings][1]}))
        return Server([BINARY, "run", "--config", config], port, cwd=root)

    return Column("Cloakroom", start)


class Scene:
    """One row on one server; `steps` is what its browsers saw."""

    _places = itertools.count()

    def __init__(self, column):
        self.column = column
        self.steps = []
        self._names = {}

    def browser(self, holds=None):
        """A browser; `holds` is the value of the cookie it starts with."""
        return Browser(self, holds)

    def visitor(self, *operations):
        """A browser that has a session already, made by one request that is not part of the row."""
        browser = self.browser()
        browser.send(operations or [("set", "cat", "dog")])
        if browser.holds is None:
            raise AssertionError(f"expected {self.column.name} to give a session for {operations or 'a write'}")
        return browser

    def call(self, value):
        """A letter for a session id, in order of appearance: ids differ, what happens to them must not."""
        return self._names.setdefault(value, chr(ord("A") + len(self._names)))

    def forged(self, value):
        """A cookie value that the server never gave; it is called so, should the server adopt it."""
        self._names[value] = "the forged one"
        return value

    def place(self):
        """A name for a `meet` that nobody else uses."""
        return f"place {next(self._places)}"

    def note(self, text):
        """A step that is not an answer."""
        self.steps.append(text)

    def at_once(self, *tasks):
        """Runs all tasks in parallel; the first failure of any is raised."""
        failures = []

        def run(task):
            try:
                task()
            except Exception as failure:
                failures.append(failure)

        threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]


class Browser:
    """Keeps the one cookie of the session as a browser does."""

    def __init__(self, scene, holds=None):
        self.scene = scene
        self.holds = holds

    def twin(self):
        """Another tab: the same cookie now, but not what it becomes."""
        return Browser(self.scene, self.holds)

    def ask(self, *operations, cookie=None):
        """One request, recorded as a step; `cookie` is a whole Cookie header in place of the browser's own."""
        answer = self.send(operations, cookie)
        self.scene.note(answer.text(self.scene))
        return answer

    def read(self, **how):
        """Asks what is in the session."""
        return self.ask(("read",), **how)

    def untouched(self, *operations, **how):
        """A request to a view that has nothing to do with the session."""
        answer = self.send(operations, path="/untouched", **how)
        self.scene.note(answer.text(self.scene))
        return answer

    def send(self, operations, cookie=None, path="/"):
        """One request that is not recorded."""
        if cookie is None and self.holds is not None:
            cookie = f"sessionid={self.holds}"
        headers = {"Cookie": cookie} if cookie is not None else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.scene.column.port, timeout=30)
        try:
            connection.request("POST", path, json.dumps(operations), headers)
            response = connection.getresponse()
            answer = Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()
        for ticket in answer.tickets:
            self.holds = None if ticket.deleted else ticket.value
        return answer


class Ticket:
    """One `Set-Cookie` of the session's cookie."""

    def __init__(self, line):
        pair, *attributes = (part.strip() for part in line.split(";"))
        self.value = pair.partition("=")[2].strip('"')
        self.attributes = {}
        for attribute in attributes:
            name, _, value = attribute.partition("=")
            self.attributes[name.lower()] = value
        age = self.attributes.get("max-age")
        self.age = int(age) if age is not None else None

    @property
    def deleted(self):
        """Whether a browser drops the cookie on seeing this."""
        return self.age is not None and self.age <= 0

    def text(self, scene):
        if self.deleted:
            return "deletes"
        if self.age is None:
            return f"sets {scene.call(self.value)} until browser close"
        # A second or two may pass between a session's write and the answer.
        return f"sets {scene.call(self.value)} for {-(-self.age // 5) * 5} s"


class Answer:
    """One response, as far as a browser or a cache can tell."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        lines = self._all("set-cookie")
        self.tickets = [Ticket(line) for line in lines if line.startswith("sessionid=")]
        try:
            self.seen = json.loads(body)
        except ValueError:
            self.seen = {}

    def _all(self, name):
        return [value for key, value in self.headers if key.lower() == name]

    def header(self, name):
        """A header's value, or None."""
        return ", ".join(self._all(name)) or None

    def text(self, scene):
        parts = [str(self.status)] if self.status != 200 else []
        parts += [ticket.text(scene) for ticket in self.tickets] or ["no cookie"]
        vary = (self.header("vary") or "").lower()
        if vary:
            parts.append("Vary" if vary == "cookie" else f"Vary: {vary}")
        parts += [f"leaks {name}" for name, _ in self.headers if name.lower().startswith("session-")]
        if self.seen:
            parts.append("sees " + json.dumps(self.seen["data"], sort_keys=True))
            parts += [f"as {self.seen['user']}"] if self.seen["user"] else []
        return ", ".join(parts)
