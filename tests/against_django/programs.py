"""Three tutorial programs, each run twice: with Django's own sessions, and with its session in Cloakroom.

The same person clicks through both; every page must be the same, and say what the person expects to read.
"""

import re
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from support.client import Client
from support.forms import form_with
from support.gateway import BINARY
from support.process import Server, free_port

HERE = Path(__file__).resolve().parent
OWN_SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
IN_CLOAKROOM = "cloakroom_sessions.CloakroomSessionMiddleware"

YAML = """\
listeners:
  - address: 127.0.0.1:{port}
data_dir: {root}/data
session:
  cookie: {{ secure: false }}
store: {{ type: memory }}
admin: {{ address: null }}
routes:
  - name: {program}
    path: /
    access: public
    session_headers: read_write
    upstream: http://127.0.0.1:{app}
    identity: {{ headers: {{}} }}
"""


class Person:
    """One browser; every page it saw is kept, without what differs from page to page (the CSRF token)."""

    def __init__(self, port, pages):
        self._client = Client(port)
        self._pages = pages

    def opens(self, path, expects):
        """Types an address and reads."""
        return self._saw(self._client.navigate(path), expects)

    def sends(self, page, expects, **fields):
        """Fills in the form that has these fields and sends it."""
        form = form_with(page.text, lambda form: fields.keys() <= form.types.keys(), f"fields {list(fields)}")
        return self._saw(self._client.submit(page, form, **fields), expects)

    def keeps(self):
        """Whether this browser holds a session's cookie, and whether it would survive the browser."""
        lines = [line for line in self._client.set_cookie_lines if line.startswith("sessionid=")]
        if "sessionid" not in self._client.cookies:
            self._pages.append("holds no session")
            return
        self._pages.append(f"holds a session, lasting: {'max-age' in lines[-1].lower()}")

    def _saw(self, page, expects):
        text = re.sub(r'(csrfmiddlewaretoken" value=)"\w+"', r"\1", page.text)
        path = page.url.partition(f"127.0.0.1:{self._client.port}")[2]
        self._pages.append(f"{page.status} {path}\n{text}")
        if expects not in page.text:
            raise AssertionError(f"expected to read {expects!r}, got\n{page}")
        return page


def visit_counter(person):
    ann, bob = person(), person()
    ann.opens("/about/", "We count visits")
    ann.keeps()
    ann.opens("/look/", "none")
    ann.opens("/", "first visit")
    ann.keeps()
    for visits in (2, 3, 4):
        ann.opens("/", f"{visits} times")
    bob.opens("/", "first visit")
    ann.opens("/broken/", "Server Error")
    ann.opens("/look/", "so far: 4")
    ann.opens("/forget/", "none")
    ann.keeps()
    ann.opens("/", "first visit")
    bob.opens("/", "2 times")


def secret_page(person):
    ann, eve = person(), person()
    ann.opens("/", "stranger")
    ann.sends(ann.opens("/", "nothing"), "In your basket: pear.", item="pear")
    page = ann.opens("/secret/", "Sign in")
    page = ann.sends(page, "correct username and password", username="ann", password="wrong")
    page = ann.sends(page, "The password of ann was right", username="ann", password="a secret for ann")
    ann.keeps()
    ann.sends(ann.opens("/", "In your basket: pear."), "In your basket: pear, plum.", item="plum")
    eve.opens("/secret/", "Sign in")
    eve.opens("/", "stranger")
    ann.sends(ann.opens("/secret/", "right"), "stranger")
    ann.keeps()
    ann.opens("/secret/", "Sign in")
    ann.opens("/", "nothing")


def stored_values(person):
    ann = person()
    page = ann.opens("/", "Values")
    page = ann.sends(page, "colour = green", key="colour", value="green")
    page = ann.sends(page, "animal = 🐈", key="animal", value="🐈")
    page = ann.sends(page, "colour = blå", key="colour", value="blå")
    page = ann.sends(page, "animal", forget="colour")
    page = ann.sends(page, "there was no such key", forget="colour")
    ann.opens("/", "animal")
    ann.opens("/cart/add/pear/", "pear")
    ann.opens("/cart/add/plum/", "plum")
    ann.opens("/cart/add/pear/", "&#x27;pear&#x27;: 2")
    ann.opens("/cart/remove/plum/", "{&#x27;pear&#x27;: 2}")
    ann.opens("/cart/forgotten/", "EUR")
    ann.opens("/cart/replace/", "{&#x27;items&#x27;: {&#x27;gift&#x27;: 1}}")
    ann.opens("/cookies/", "Cookies work")
    ann.opens("/cookies/verdict/", "Please enable")
    person().opens("/cookies/verdict/", "Please enable")
    for how in ("seconds", "browser", "default", "delta"):
        ann.opens(f"/keep/{how}/", "gift")
        ann.keeps()
    ann.opens("/renew/", "gift")
    ann.opens("/clear/", "<ul></ul>")
    ann.keeps()
    ann.opens("/start-over/", "fresh = True")
    ann.opens("/end/", "<ul></ul>")
    ann.keeps()


PROGRAMS = {play.__name__.replace("_", " "): play for play in (visit_counter, secret_page, stored_values)}


def serve(stack, program, sessions):
    """The program with this session middleware; the port of its server."""
    root = stack.enter_context(tempfile.TemporaryDirectory(prefix="program-"))
    port = free_port()
    argv = [sys.executable, HERE / "tutorials" / "serve.py", program, port, root, sessions]
    return stack.enter_context(Server(argv, port)).port


def guard(stack, program, app):
    """Cloakroom before an app; the port of its listener."""
    root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="program-")))
    port = free_port()
    config = root / "cloakroom.yaml"
    config.write_text(YAML.format(port=port, root=root, program=program, app=app))
    return stack.enter_context(Server([BINARY, "run", "--config", config], port, cwd=root)).port


def pages_of(play, port):
    """What people see who play this at a port; ends with the failure, if there is one."""
    pages = []
    try:
        play(lambda: Person(port, pages))
    except Exception as failure:
        pages.append(f"FAILED {type(failure).__name__}: {failure}")
    return pages


def compare(name):
    """Whether the program shows the same pages, all as expected, with either kind of session."""
    play = PROGRAMS[name]
    with ExitStack() as stack:
        alone = serve(stack, play.__name__, OWN_SESSIONS)
        behind = guard(stack, play.__name__, serve(stack, play.__name__, IN_CLOAKROOM))
        theirs, ours = pages_of(play, alone), pages_of(play, behind)
    differing = [(left, right) for left, right in zip(theirs, ours) if left != right]
    good = not differing and len(theirs) == len(ours) and not any(page.startswith("FAILED") for page in theirs)
    print(f"program {name}: {len(theirs)} and {len(ours)} pages, {'the same' if good else 'DIFFERENT'}")
    for left, right in differing[:1] or ([] if good else [(theirs[-1], ours[-1])]):
        print(f"--- with Django's own sessions:\n{left}\n--- with sessions in Cloakroom:\n{right}")
    return good
