"""`cloakroom observe` with the real apps: what it prints is put into a configuration as it is, and that must do.

A deployer signs in through it once wrongly and once rightly, and signs out. The gateway then runs with nothing but what
was printed, and people sign in at the app's own page.
"""

import os
import tempfile
import unittest
from pathlib import Path

from support.client import Client
from support.gateway import BINARY, cloakroom, users_yaml
from support.own_accounts import PASSWORD, USER
from support.own_pages import DjangoAdminPages, DokuWikiPages, JupyterPages, NodeRedPages
from support.own_sign_in import Visits
from support.process import Server, free_port

WHOLE = """\
listeners: [{{ address: "127.0.0.1:{port}" }}]
data_dir: {root}/data
store: {{ type: memory }}
session: {{ cookie: {{ secure: auto }} }}
admin: {{ address: "127.0.0.1:{admin}" }}
login: {{ form: {form} }}
routes:
  - access: user
    upstream: http://127.0.0.1:{app}
{sections}"""


class Survey:
    """`cloakroom observe` at work: `url` is where to point the browser."""

    def __init__(self, app, directory):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.printed = Path(directory) / "printed.yaml"
        observe = [BINARY, "observe", "--url", f"http://127.0.0.1:{app}", "--listen", f"127.0.0.1:{self.port}", "--once"]
        # Its talk and what it prints are apart, as for a deployer who writes `> wiki.yaml`.
        self.server = Server(["sh", "-c", 'out=$1; shift; exec "$@" >"$out"', "sh", self.printed, *observe], self.port)

    def yaml(self):
        """What it has printed, once it has ended by itself: the sign-out was the end."""
        code = self.server.exit_code()
        if code != 0:
            raise AssertionError(f"expected exit code 0, got {code}\n{self.server.output()}{self.printed.read_text()}")
        return self.printed.read_text()


class Printed:
    """A gateway with `sections` under its one route, which `cloakroom validate` has found right."""

    def __init__(self, app, sections, root, users=None):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        form = "null"
        if users:
            (root / "users.yaml").write_text(users_yaml(users))
            form = "{ users_file: users.yaml }"
        indented = "".join(f"    {line}\n" for line in sections.splitlines())
        values = {"port": self.port, "admin": free_port(), "app": app, "root": root, "form": form}
        file = root / "cloakroom.yaml"
        file.write_text(WHOLE.format(sections=indented, **values))
        validated = cloakroom("validate", "--config", file)
        if validated.returncode != 0:
            raise AssertionError(f"{validated.stdout}{validated.stderr}\n{file.read_text()}")
        self.server = Server([BINARY, "run", "--config", file], self.port, cwd=root)

    def client(self, cookies=()):
        client = Client(self.port)
        client.cookies = dict(cookies)
        return client

    def stop(self):
        self.server.stop()


def uncommented(yaml):
    """The other way: as the text says, without `observe`, and with what stands commented at the end."""
    shared, _, rest = yaml.partition("\nobserve:\n")
    _, mark, other = rest.partition("\n#sign_on:")
    if not mark:
        raise AssertionError(f"expected a commented `sign_on`, got\n{yaml}")
    lines = ("#sign_on:" + other).splitlines()
    return shared + "\n" + "".join(f"{line.removeprefix('#')}\n" for line in lines)


class Surveyed(Visits):
    """Tests for a `TestCase` beside it in the bases, which also has the pages of an app."""

    @classmethod
    def setUpClass(cls):
        cls.running = cls.app()
        cls.addClassCleanup(cls.running.stop)

    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory(prefix="survey-")
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)

    def survey(self):
        """A deployer does as they are told."""
        self.gateway = Survey(self.running.port, self.root)
        self.addCleanup(self.gateway.server.stop)
        self.sign_in("not the password")
        self.was_refused()
        self.sign_in(PASSWORD)
        self.is_in()
        self.sign_out()
        yaml = self.gateway.yaml()
        self.assertNotIn(PASSWORD, yaml)
        if directory := os.environ.get("CLOAKROOM_PRINTED"):
            # To look at, as a deployer would.
            (Path(directory) / f"{self.example}.yaml").write_text(yaml)
        # Cookies belong to a host, whatever the port.
        self.browser.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        return yaml

    def run_gateway(self, sections, users=None):
        self.gateway = Printed(self.running.port, sections, self.root, users)
        self.addCleanup(self.gateway.stop)

    def test_a_gateway_with_what_it_prints_knows_who_signs_in_and_out(self):
        yaml = self.survey()
        self.run_gateway(yaml)
        self.is_asked_to_sign_in(self.gateway.client())
        self.sign_in("not the password")
        self.was_refused()
        self.assertFalse(self.me()["authenticated"], self.browser.page())
        self.is_asked_to_sign_in(self.gateway.client(self.jar()))
        self.sign_in(PASSWORD)
        self.eventually_me(self.user)
        self.is_in()
        held = self.jar()
        self.assertLessEqual(set(held), {"sessionid"} | self.exposed)
        self.sign_out()
        self.eventually_me(None)
        self.is_asked_to_sign_in(self.gateway.client(held))
        self.switch(yaml)

    def switch(self, yaml):
        """The other way, where there is one: people sign in at the gateway's own form."""
        self.run_gateway(uncommented(yaml), {USER: PASSWORD})
        self.browser.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.browser.open(self.gateway.url + getattr(self, "opened", self.protected))
        self.browser.fill_in(USER, PASSWORD)
        self.is_in()
        self.assertEqual(self.me()["user"], USER)
        self.assertLessEqual(set(self.jar()), {"sessionid"} | self.exposed)


class DokuWikiSurveyed(DokuWikiPages, Surveyed, unittest.TestCase):
    """All pages are one script, and strangers get 200."""


class DjangoAdminSurveyed(DjangoAdminPages, Surveyed, unittest.TestCase):
    """The cookie is called like the gateway's."""


class JupyterSurveyed(JupyterPages, Surveyed, unittest.TestCase):
    """No names: whoever knows the password is called the same."""

    user = "user"

    def switch(self, yaml):
        """With the one password for all."""
        super().switch(yaml.replace("write the app's password here", PASSWORD))


class NodeRedSurveyed(NodeRedPages, Surveyed, unittest.TestCase):
    """JSON and tokens, which cannot be fetched for a browser."""

    def switch(self, yaml):
        self.assertIn("# No `sign_on`", yaml)
        self.assertNotIn("\n#sign_on:", yaml)
