"""The binary as a deployer types it: what it says, where, and with which exit code.

Every message about something that cannot work must name the place and the remedy.
"""

import json
import re
import shutil
import socket
import tempfile
import unittest
from pathlib import Path

import trustme

from support.gateway import PASSWORDS, ROOT, Gateway, cloakroom, hashed, route, users_yaml
from support.process import free_port

SHIPPED = ROOT / "config"
SECRETS = {
    "session-keys": "0123456789abcdef0123456789abcdef",
    "redis-url": "redis://:secret@redis",
    "postgres-url": "postgres://cloakroom:secret@postgres/cloakroom",
}


def small_config(port, admin, users="users.yaml", more=""):
    """The least a gateway needs."""
    return (
        f"listeners: [{{ address: '127.0.0.1:{port}' }}]\n"
        f"admin: {{ address: '127.0.0.1:{admin}' }}\n"
        f"session: {{ cookie: {{ secure: auto }} }}\n"
        f"login: {{ form: {{ users_file: {users} }} }}\n"
        f"routes: [{{ name: app, upstream: 'http://127.0.0.1:9' }}]\n{more}"
    )


class TheCommandLine(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="command-line-")
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        self.config = self.root / "cloakroom.yaml"

    def write(self, text, users=True):
        self.config.write_text(text)
        if users:
            (self.root / "users.yaml").write_text(users_yaml(PASSWORDS))

    def says(self, done, code, *patterns):
        told = f"exit code {done.returncode}\nstdout: {done.stdout}\nstderr: {done.stderr}"
        self.assertEqual(done.returncode, code, told)
        for pattern in patterns:
            self.assertRegex(done.stdout + done.stderr, pattern, told)
        return done

    def test_a_usage_error_exits_2(self):
        for words in (["no-such-command"], ["run", "--no-such-flag"], ["demo", "--listen"]):
            with self.subTest(words=words):
                self.says(cloakroom(*words, cwd=self.root), 2)

    def test_help_and_version_exit_0(self):
        self.says(cloakroom("--help"), 0, "validate", "hash-password", "healthcheck", "demo", "schema")
        self.says(cloakroom("--version"), 0, r"\d+\.\d+\.\d+")

    def test_validate_reports_every_problem_with_its_place(self):
        self.write(
            "listeners:\n  - address: nowhere\nsession:\n  idle_timeout: soon\n  colour: blue\n"
            "routes:\n  - name: app\n    upstream: ftp://app\n    name: again\n"
        )
        done = cloakroom("validate", "--config", self.config, cwd=self.root)
        file = re.escape(str(self.config))
        for line, key in ((2, "address"), (4, "idle_timeout"), (5, "colour"), (8, "upstream"), (9, "name")):
            with self.subTest(key=key):
                self.says(done, 1, rf"{file}:{line}:\d+: [^\n]*{key}")

    def test_every_shipped_file_is_valid(self):
        copy = self.root / "config"
        shutil.copytree(SHIPPED, copy)
        ours = re.compile(r"(?m)^(routes|listeners):")
        found = [file for file in sorted(copy.rglob("*.y*ml")) if ours.search(file.read_text())]
        self.assertTrue(found, f"expected configuration files under {SHIPPED}")
        leaf = trustme.CA().issue_cert("localhost")
        for file in found:
            (file.parent / "tls.key").write_bytes(leaf.private_key_pem.bytes())
            (file.parent / "tls.crt").write_bytes(leaf.cert_chain_pems[0].bytes())
            for name, secret in SECRETS.items():
                (file.parent / name).write_text(secret)
            above = file.parent.parent / "users.yaml"
            if above.exists() and not (file.parent / "users.yaml").exists():
                # Mounted beside the configuration from the directory above.
                shutil.copy(above, file.parent)
            with self.subTest(file=str(file.relative_to(copy))):
                # In an image the files lie under /etc/cloakroom, secrets where Docker puts them; here, beside each other.
                text = file.read_text().replace("/etc/cloakroom/", f"{file.parent}/").replace("/run/secrets/", "")
                file.write_text(text)
                env = {name: "x" * 48 for name in re.findall(r"\$\{(\w+)", text)}
                self.says(cloakroom("validate", "--config", file, env=env, cwd=file.parent), 0)

    def test_a_bad_configuration_keeps_run_from_starting(self):
        self.write("routes: [{ upsteam: http://x }]\n")
        self.says(cloakroom("run", "--config", self.config, cwd=self.root), 1, "upsteam", re.escape(str(self.config)))

    def test_a_missing_configuration_file_is_named(self):
        self.says(cloakroom("run", "--config", self.root / "absent.yaml", cwd=self.root), 1, r"absent\.yaml")

    def test_a_port_in_use_is_named_with_a_remedy(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.write(small_config(port, free_port()))
            done = cloakroom("run", "--config", self.config, cwd=self.root)
            self.says(done, 1, rf"127\.0\.0\.1:{port}", "in use")
            self.assertRegex(done.stderr, r"(?i)stop|another|other|choose|change", "expected a remedy")

    def test_two_gateways_never_share_a_port(self):
        self.write(small_config(free_port(), free_port()))
        first = Gateway(route("app", 9))
        self.addCleanup(first.stop)
        self.write(small_config(first.port, free_port()))
        self.says(cloakroom("run", "--config", self.config, cwd=self.root), 1, f"{first.port}", "in use")

    def test_a_users_file_that_cannot_be_read_is_named(self):
        self.write(small_config(free_port(), free_port()), users=False)
        self.says(cloakroom("run", "--config", self.config, cwd=self.root), 1, r"users\.yaml")
        (self.root / "users.yaml").write_text("- name: [broken\n")
        self.says(cloakroom("run", "--config", self.config, cwd=self.root), 1, r"users\.yaml")

    def test_an_unset_environment_variable_is_named_and_its_default_is_used(self):
        self.write(small_config("${PORT_OF_TEST}", 1))
        self.says(cloakroom("validate", "--config", self.config, cwd=self.root), 1, "PORT_OF_TEST")
        self.write(small_config("${PORT_OF_TEST:-8080}", 1))
        self.says(cloakroom("validate", "--config", self.config, cwd=self.root), 0)

    def test_a_secret_is_never_printed(self):
        secret = "tooshort-7731"
        self.write(small_config(1, 2, more="").replace("session: {", f"session: {{ keys: ['{secret}'],"))
        done = cloakroom("validate", "--config", self.config, cwd=self.root)
        self.assertNotIn(secret, done.stdout + done.stderr)

    def test_schema_prints_a_json_schema(self):
        schema = json.loads(self.says(cloakroom("schema"), 0).stdout)
        self.assertIn("routes", schema["properties"])
        self.assertIn("listeners", schema["properties"])

    def test_hash_password_reads_standard_input_and_prints_argon2id(self):
        first, second = (cloakroom("hash-password", stdin="a good one\n") for _ in range(2))
        for done in (first, second):
            self.says(done, 0)
            self.assertRegex(done.stdout.strip(), r"^\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$\S+$")
        self.assertNotEqual(first.stdout, second.stdout, "expected a new salt each time")

    def test_hash_password_refuses_an_empty_password(self):
        done = cloakroom("hash-password", stdin="\n")
        self.assertNotEqual(done.returncode, 0, done.stdout)

    def test_healthcheck_answers_by_exit_code(self):
        self.write(small_config(free_port(), free_port()))
        self.says(cloakroom("healthcheck", "--config", self.config, cwd=self.root), 1)
        gateway = Gateway(route("app", 9))
        self.addCleanup(gateway.stop)
        self.says(cloakroom("healthcheck", "--config", gateway.config, cwd=gateway.root), 0)
        gateway.server.stop()
        self.says(cloakroom("healthcheck", "--config", gateway.config, cwd=gateway.root), 1)

    def test_a_secret_comes_from_the_environment_or_from_a_file(self):
        (self.root / "bob.hash").write_text(hashed(PASSWORDS["bob"]) + "\n")
        gateway = Gateway(route("app", 9))
        self.addCleanup(gateway.stop)
        gateway.server.stop()
        alice = "{ name: alice, password: '${ALICE_HASH}' }"
        bob = f"{{ name: bob, password_file: {self.root}/bob.hash }}"
        form = f"form: {{ users: [{alice}, {bob}] }}"
        text = re.sub(r"form: \{.*\}", lambda _: form, gateway.config.read_text())
        gateway.config.write_text(text)
        gateway.start(env={"ALICE_HASH": hashed(PASSWORDS["alice"])})
        for user in PASSWORDS:
            with self.subTest(user=user):
                client = gateway.signed_in(user)
                self.assertEqual(client.fetch("/.session/me").json()["user"], user)
