"""The gateway under test: the real binary, started with a real YAML file on free ports.

Knows the command line and the configuration of the manual, nothing of the inside.
"""

import os
import subprocess
import tempfile
import textwrap
from functools import cache
from pathlib import Path

from .client import Client
from .process import Server, free_port

ROOT = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("CLOAKROOM_BIN") or ROOT / "target" / "debug" / "cloakroom")
PASSWORDS = {"alice": "correct horse battery", "bob": "staple under moss"}

YAML = """\
listeners:
  - address: 127.0.0.1:{port}
{tls}data_dir: {root}/data
session:
  cookie: {{ secure: auto, name: {cookie} }}
store: {{ type: memory }}
login:
  form: {{ users_file: {root}/users.yaml }}
admin: {{ address: "127.0.0.1:{admin}" }}
routes:
{routes}
"""


def cloakroom(*arguments, stdin="", env=None, cwd=None, seconds=30):
    """Runs a command of the binary to its end."""
    argv = [str(BINARY), *(str(part) for part in arguments)]
    environment = {**os.environ, **(env or {})}
    return subprocess.run(argv, input=stdin, env=environment, cwd=cwd, capture_output=True, text=True, timeout=seconds)


@cache
def hashed(password):
    """What `cloakroom hash-password` prints for this password."""
    done = cloakroom("hash-password", stdin=password + "\n")
    if done.returncode != 0:
        raise AssertionError(f"expected hash-password to succeed, got {done.returncode}: {done.stderr}")
    return done.stdout.strip()


def route(name, port, access="user", headers="remote", path="/"):
    """One route of the YAML file, to an app on this port."""
    return textwrap.dedent(f"""\
        - name: {name}
          path: {path}
          access: {access}
          upstream: http://127.0.0.1:{port}
          identity: {{ headers: {headers} }}
        """)


def users_yaml(users, disabled=()):
    """A users file; every user of the tests is in the group `staff`."""
    lines = []
    for name, password in users.items():
        lines.append(f"- name: {name}\n  password: '{hashed(password)}'\n  groups: [staff]\n")
        lines.append(f"  display_name: {name.capitalize()} Example\n  email: {name}@example.com\n")
        lines.append(f"  disabled: {'true' if name in disabled else 'false'}\n")
    return "".join(lines)


class Gateway:
    """A running gateway in its own directory; `client()` gives a new browser profile."""

    def __init__(self, *routes, cookie="sessionid", tls=None, env=None):
        self.directory = tempfile.TemporaryDirectory(prefix="gateway-")
        self.root = Path(self.directory.name)
        self.port, self.admin = free_port(), free_port()
        self.scheme = "https" if tls else "http"
        self.config = self.root / "cloakroom.yaml"
        self.users_file = self.root / "users.yaml"
        self.users_file.write_text(users_yaml(PASSWORDS))
        certificate = f"    tls: {{ certificate: {tls[0]}, key: {tls[1]} }}\n" if tls else ""
        text = YAML.format(
            port=self.port, admin=self.admin, root=self.root, cookie=cookie, tls=certificate,
            routes=textwrap.indent("".join(routes), "  "),
        )
        self.config.write_text(text)
        self.start(env)

    def start(self, env=None):
        """Runs the binary on what the configuration file says now."""
        self.server = Server([BINARY, "run", "--config", self.config], self.port, cwd=self.root, env=env)

    def client(self, trust=None):
        """A new browser profile that knows no cookies."""
        return Client(self.port, self.scheme, trust)

    def signed_in(self, user, path="/"):
        """A browser profile whose owner has just signed in."""
        client = self.client()
        page = client.sign_in(path, user, PASSWORDS[user])
        if "/.session/" in page.url:
            raise AssertionError(f"expected {user} to be signed in, got\n{page}\ngateway:\n{self.server.output()}")
        return client

    def stop(self):
        """Ends the gateway and removes its files."""
        self.server.stop()
        self.directory.cleanup()
