"""An app that keeps nothing: it turns the operations of a request into `Session-*` headers of its answer.

What it knows of a session is what the gateway told it with the request. Its operations are those of `django_app`.
"""

import json
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler

from support.upstream import Serving


class Visit:
    """One request under way: the headers the operations add up to."""

    meetings = {}
    lock = threading.Lock()

    def __init__(self, headers):
        self.asked = headers
        self.seen = {}
        self.code = 200
        self.headers = []
        self.patch = {}
        self.increments = {}

    def read(self):
        self.seen = {
            "data": json.loads(self.asked.get("Session-Data") or "{}"),
            "user": self.asked.get("Remote-User"),
        }

    def set(self, key, value):
        self.patch[key] = value

    def unset(self, key):
        self.patch[key] = None

    def increment(self, key, by):
        self.increments[key] = by

    def clear(self):
        self.header("Session-Clear", "true")

    def flush(self):
        self.header("Session-Flush", "true")

    def rotate(self):
        self.header("Session-Rotate", "true")

    def expiry(self, wanted):
        self.header("Session-Expiry", str(wanted))

    def login(self, name):
        self.header("Session-User", name)

    # What Django's `logout()` does to a session is a flush.
    logout = flush

    def status(self, code):
        self.code = code

    def header(self, name, value):
        self.headers.append((name, value))

    def fail(self):
        self.code = 500

    def meet(self, place, parties):
        with self.lock:
            meeting = self.meetings.setdefault(place, threading.Barrier(parties, timeout=20))
        meeting.wait()

    def answer(self):
        """All headers of the response; JSON is ASCII, as a header must be."""
        changes = (("Session-Set", self.patch), ("Session-Increment", self.increments))
        return self.headers + [(name, json.dumps(value)) for name, value in changes if value]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        visit = Visit(self.headers)
        for name, *arguments in json.loads(self.rfile.read(int(self.headers["Content-Length"]))):
            getattr(visit, name)(*arguments)
        body = json.dumps(visit.seen).encode()
        self.send_response_only(visit.code)
        headers = [("Date", formatdate(usegmt=True)), ("Content-Type", "application/json"), *visit.answer()]
        for name, value in [*headers, ("Content-Length", str(len(body)))]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Silence: the table is what is printed."""


class DumbApp(Serving):
    """The app, running: its `port`, ended by `stop()`."""

    def __init__(self):
        super().__init__(Handler)
