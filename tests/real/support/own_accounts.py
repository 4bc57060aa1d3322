"""Unmodified apps with accounts and a sign-in of their own, and the shipped example of a gateway before each.

`tests/run` installs them under `target/test-servers`; what an app keeps lies in a fresh directory, so that no test
sees what another did. Each has one account, `USER` with `PASSWORD`, but for Jupyter, which has the password alone.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import yaml

from .apps import App
from .client import Client
from .gateway import BINARY, ROOT
from .process import Server, free_port

USER, PASSWORD = "alice", "correct horse battery"
INSTALLED = Path(os.environ.get("CLOAKROOM_TEST_APPS") or ROOT / "target" / "test-servers")

WIKI_SETTINGS = """\
<?php
$conf['title'] = 'Wiki';
$conf['useacl'] = 1;
$conf['superuser'] = '@admin';
$conf['disableactions'] = 'register';
$conf['updatecheck'] = 0;
$conf['savedir'] = '%(data)s';
"""

WIKI_DIRECTORIES = (
    "attic", "cache", "index", "locks", "log", "media", "media_attic", "media_meta", "meta", "pages", "tmp",
)

# Where Debian's package has /etc/dokuwiki; this is what the app itself offers for another place.
WIKI_PLACES = "<?php define('DOKU_CONF', '%(conf)s/'); define('DOKU_MAIN_CONF', DOKU_CONF);\n"

NODE_RED_SETTINGS = """\
const account = { username: %(user)s, password: require("bcryptjs").hashSync(%(password)s, 8), permissions: "*" };
module.exports = {
    uiHost: "127.0.0.1", uiPort: %(port)d, userDir: %(root)s, flowFile: "flows.json", credentialSecret: false,
    adminAuth: { type: "credentials", users: [account] },
    // Nobody is asked for anything but this machine.
    telemetry: { enabled: false, updateNotification: false },
    externalModules: { palette: { allowInstall: false } },
    editorTheme: { tours: false, palette: { catalogues: [] } },
};
"""


class DokuWiki(App):
    """Debian's package under PHP's own server. A closed wiki: strangers see nothing but its sign-in."""

    def __init__(self):
        super().__init__()
        conf, data = self.root / "conf", self.root / "data"
        # The accounts of the machine's own wiki, if it has one, are nobody's business.
        shutil.copytree("/etc/dokuwiki", conf, ignore=shutil.ignore_patterns("*.auth.php", "local.php"))
        for name in WIKI_DIRECTORIES:
            (data / name).mkdir(parents=True)
        (conf / "local.php").write_text(WIKI_SETTINGS % {"data": data})
        account = (USER, bcrypt(PASSWORD), "Alice (A.) Example", "alice@example.com", "admin,user")
        (conf / "users.auth.php").write_text(":".join(account) + "\n")
        (conf / "acl.auth.php").write_text("* @ALL 0\n* @user 8\n")
        places = self.root / "places.php"
        places.write_text(WIKI_PLACES % {"conf": conf})
        address = f"127.0.0.1:{self.port}"
        self.data, self.sessions = data, self.root / "sessions"
        self.sessions.mkdir()
        settings = ["-d", f"auto_prepend_file={places}", "-d", f"session.save_path={self.sessions}"]
        # One process, that is: PHP's workers outlive their parent.
        self.server = Server(["php", *settings, "-S", address, "-t", "/usr/share/dokuwiki"], self.port)

    def forget_everybody(self):
        """What it knows of browsers: PHP's sessions, and the salt without which its own cookie is worth nothing."""
        for file in (*self.sessions.iterdir(), *(self.data / "meta").glob("_htcookiesalt*")):
            file.unlink()

    def sign_ins(self):
        """How often a form was sent to it."""
        return self.server.output().count("POST /doku.php")


class DjangoAdmin(App):
    """A project fresh from `startproject` with its admin, and a superuser with a password."""

    def __init__(self):
        super().__init__()
        run([sys.executable, "-m", "django", "startproject", "office", self.root])
        settings = self.root / "office" / "settings.py"
        settings.write_text(settings.read_text() + '\nALLOWED_HOSTS = ["127.0.0.1"]\n')
        manage = [sys.executable, self.root / "manage.py"]
        run([*manage, "migrate", "--verbosity", "0"])
        named = ["--noinput", "--username", USER, "--email", "alice@example.com"]
        run([*manage, "createsuperuser", *named], DJANGO_SUPERUSER_PASSWORD=PASSWORD)
        self.manage = manage
        self.server = Server([*manage, "runserver", "--noreload", f"127.0.0.1:{self.port}"], self.port, cwd=self.root)

    def forget_everybody(self):
        """As if its sessions had run out."""
        with closing(sqlite3.connect(self.root / "db.sqlite3", timeout=10)) as rows, rows:
            rows.execute("DELETE FROM django_session")

    def sign_ins(self):
        """How often its sign-in form was sent."""
        return self.server.output().count("POST /admin/login/")


class Jupyter(App):
    """Jupyter Server with the classic notebook, a password, and one notebook that computes 6 * 7."""

    def __init__(self):
        super().__init__()
        places = {f"JUPYTER_{kind}_DIR": str(self.root / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
        places.update(IPYTHONDIR=str(self.root / "ipython"), HOME=str(self.root))
        code = "import sys; from jupyter_server.auth import passwd; print(passwd(sys.argv[1]))"
        hashed = run([sys.executable, "-c", code, PASSWORD]).strip()
        (self.root / "config").mkdir()
        settings = {"PasswordIdentityProvider": {"hashed_password": hashed}}
        (self.root / "config" / "jupyter_server_config.json").write_text(json.dumps(settings))
        (self.root / "notes").mkdir()
        (self.root / "notes" / "sum.ipynb").write_text(json.dumps(notebook("print(6 * 7)")))
        options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={self.port}", "--port-retries=0"]
        self.server = Server(
            [sys.executable, "-m", "jupyter_server", *options, f"--ServerApp.root_dir={self.root / 'notes'}"],
            self.port, env=places,
        )


class NodeRed(App):
    """Node-RED with one account (`adminAuth`) and no flows."""

    def __init__(self):
        super().__init__()
        installed = INSTALLED / "node-red"
        settings = self.root / "settings.js"
        values = {"user": USER, "password": PASSWORD, "root": str(self.root)}
        quoted = {name: json.dumps(value) for name, value in values.items()}
        settings.write_text(NODE_RED_SETTINGS % {**quoted, "port": self.port})
        program = installed / "node_modules" / "node-red" / "red.js"
        self.argv = ["node", program, "--settings", settings]
        self.environment = {"NODE_PATH": str(installed / "node_modules"), "HOME": str(self.root)}
        self.start()

    def start(self):
        """Runs it on what its directory holds."""
        self.server = Server(self.argv, self.port, cwd=self.root, env=self.environment)
        self.server.wait_for("Started flows", 30)

    def forget_everybody(self):
        """As if its tokens had run out: it keeps them in a file."""
        self.server.stop()
        (self.root / ".sessions.json").unlink()
        self.start()

    def accepts_token(self, token):
        """Whether the app itself, asked directly, still takes a token."""
        answer = Client(self.port).fetch("/settings", headers={"Authorization": f"Bearer {token}"})
        return answer.status == 200


class ShippedExample:
    """A running gateway with `config/examples/NAME.yaml`; only ports, directories and `secure` are the test's.

    `files` lie beside it: what the example says that the deployer writes.
    """

    def __init__(self, name, variable, app, files=()):
        self.directory = tempfile.TemporaryDirectory(prefix="gateway-")
        root = Path(self.directory.name)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config = yaml.safe_load((ROOT / "config" / "examples" / f"{name}.yaml").read_text())
        config["listeners"] = [{"address": f"127.0.0.1:{self.port}"}]
        config["data_dir"] = str(root / "data")
        config["admin"] = {"address": f"127.0.0.1:{free_port()}"}
        config.setdefault("session", {})["cookie"] = {"secure": "auto"}
        for beside, text in dict(files).items():
            (root / beside).write_text(text)
        file = root / "cloakroom.yaml"
        # JSON is YAML too.
        file.write_text(json.dumps(config))
        environment = {variable: f"127.0.0.1:{app.port}"}
        self.server = Server([BINARY, "run", "--config", file], self.port, cwd=root, env=environment)

    def client(self, cookies=()):
        """A browser profile with these cookies and no others."""
        client = Client(self.port)
        client.cookies = dict(cookies)
        return client

    def stop(self):
        """Ends the gateway and removes its files."""
        self.server.stop()
        self.directory.cleanup()


def run(argv, **environment):
    """The output of a command that must succeed."""
    argv = [str(part) for part in argv]
    done = subprocess.run(argv, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"expected {argv} to succeed, got {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def bcrypt(password):
    """As PHP writes it."""
    return run(["php", "-r", "echo password_hash($argv[1], PASSWORD_BCRYPT, ['cost' => 6]);", password])


def notebook(code):
    """A notebook of one cell."""
    cell = {"cell_type": "code", "id": "one", "source": code, "outputs": [], "execution_count": None, "metadata": {}}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
