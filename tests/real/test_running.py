"""A running gateway whose surroundings change: users file, certificate, signals, an app that misbehaves."""

import re
import signal
import socket
import ssl
import tempfile
import threading
import unittest
from http.client import IncompleteRead
from pathlib import Path

import trustme

from support.client import Client
from support.gateway import PASSWORDS, Gateway, route, users_yaml
from support.process import accepts, eventually, free_port
from support.upstream import Upstream, say

# The manual says about two seconds; the rest is for a busy machine.
SOON = 6.0


class ARunningGateway(unittest.TestCase):
    def upstream(self, answer):
        app = Upstream(answer)
        self.addCleanup(app.stop)
        return app

    def gateway(self, port, **settings):
        gateway = Gateway(route("app", port, **settings.pop("route", {})), **settings)
        self.addCleanup(gateway.stop)
        return gateway

    def test_a_user_disabled_in_the_users_file_is_out_within_seconds(self):
        gateway = self.gateway(self.upstream(say("inside")).port)
        alice, bob = gateway.signed_in("alice"), gateway.signed_in("bob")
        self.assertEqual(alice.fetch("/").text, "inside")
        gateway.users_file.write_text(users_yaml(PASSWORDS, disabled=["alice"]))
        eventually(lambda: alice.fetch("/").status == 401, "alice's session ends when she is disabled", SOON)
        self.assertEqual(alice.navigate("/", follow=False).status, 302)
        self.assertEqual(bob.fetch("/").text, "inside", "bob is not concerned")
        self.assertNotEqual(gateway.client().sign_in("/", "alice", PASSWORDS["alice"]).text, "inside")

    def test_a_user_removed_by_a_renamed_file_is_out_within_seconds(self):
        gateway = self.gateway(self.upstream(say("inside")).port)
        alice = gateway.signed_in("alice")
        fresh = gateway.root / "users.new"
        fresh.write_text(users_yaml({"bob": PASSWORDS["bob"]}))
        fresh.rename(gateway.users_file)
        eventually(lambda: alice.fetch("/").status == 401, "alice's session ends when she is removed", SOON)

    def test_a_broken_users_file_changes_nobody_and_is_logged(self):
        gateway = self.gateway(self.upstream(say("inside")).port)
        alice = gateway.signed_in("alice")
        gateway.users_file.write_text("- name: [broken\n")
        gateway.server.wait_for(r"users\.yaml", SOON)
        self.assertEqual(alice.fetch("/").text, "inside")
        self.assertEqual(gateway.signed_in("bob").fetch("/").text, "inside")

    def test_sigterm_lets_an_open_download_finish_and_exits_0(self):
        started, release = threading.Event(), threading.Event()
        self.addCleanup(release.set)

        def slow(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "2000")
            handler.end_headers()
            handler.wfile.write(b"a" * 1000)
            handler.wfile.flush()
            started.set()
            release.wait(30)
            handler.wfile.write(b"b" * 1000)

        gateway = self.gateway(self.upstream(slow).port, route={"access": "public"})
        got = []
        download = threading.Thread(target=lambda: got.append(gateway.client().fetch("/")))
        download.start()
        self.assertTrue(started.wait(10), "expected the download to begin")
        gateway.server.signal(signal.SIGTERM)
        eventually(lambda: not accepts(gateway.port), "no new connection is accepted")
        self.assertIsNone(gateway.server.process.poll(), "expected the gateway to wait for the download")
        release.set()
        download.join(15)
        self.assertEqual(got[0].body if got else None, b"a" * 1000 + b"b" * 1000)
        self.assertEqual(gateway.server.exit_code(), 0, gateway.server.output())

    def test_a_replaced_certificate_is_served_within_seconds(self):
        with tempfile.TemporaryDirectory(prefix="tls-") as directory:
            chain, key = Path(directory, "tls.crt"), Path(directory, "tls.key")
            authority = trustme.CA()
            trust = ssl.create_default_context()
            authority.configure_trust(trust)
            self._issue(authority, chain, key)
            gateway = self.gateway(self.upstream(say("inside")).port, tls=(chain, key), route={"access": "public"})
            self.assertEqual(gateway.client(trust).fetch("/").text, "inside")
            first = self._certificate(gateway.port, trust)
            self._issue(authority, chain, key)
            eventually(lambda: self._certificate(gateway.port, trust) != first, "the new certificate is served", SOON)
            self.assertEqual(gateway.client(trust).fetch("/").text, "inside")

    def _issue(self, authority, chain, key):
        leaf = authority.issue_cert("127.0.0.1")
        key.write_bytes(leaf.private_key_pem.bytes())
        chain.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))

    def _certificate(self, port, trust):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            with trust.wrap_socket(plain, server_hostname="127.0.0.1") as tls:
                return tls.getpeercert(binary_form=True)

    def test_over_tls_the_cookie_is_secure(self):
        with tempfile.TemporaryDirectory(prefix="tls-") as directory:
            chain, key = Path(directory, "tls.crt"), Path(directory, "tls.key")
            authority = trustme.CA()
            trust = ssl.create_default_context()
            authority.configure_trust(trust)
            self._issue(authority, chain, key)
            gateway = self.gateway(self.upstream(say("inside")).port, tls=(chain, key))
            client = gateway.client(trust)
            client.sign_in("/", "alice", PASSWORDS["alice"])
            lines = [line for line in client.set_cookie_lines if line.startswith("sessionid=")]
            self.assertTrue(lines, "expected a session cookie")
            for line in lines:
                for attribute in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
                    self.assertRegex(line, rf"(?i); *{attribute}(;|$)", line)

    def test_an_app_that_is_down_gives_502_at_once_and_is_named_in_the_log(self):
        port = free_port()
        gateway = self.gateway(port, route={"access": "public"})
        answer = gateway.client().fetch("/")
        self.assertIn(answer.status, (502, 503), str(answer))
        gateway.server.wait_for(rf"127\.0\.0\.1:{port}")

    def test_a_body_cut_short_by_the_app_never_looks_complete(self):
        def cut(handler):
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.wfile.write(b"5\r\nhello\r\n")
            handler.wfile.flush()
            handler.close_connection = True

        gateway = self.gateway(self.upstream(cut).port, route={"access": "public"})
        with self.assertRaises((IncompleteRead, ConnectionError)):
            Client(gateway.port).fetch("/")

    def test_neither_cookie_nor_password_is_ever_logged(self):
        gateway = self.gateway(self.upstream(say("inside")).port)
        alice = gateway.signed_in("alice")
        alice.fetch("/?page=1")
        gateway.client().sign_in("/", "alice", "wrong-but-secret")
        alice.sign_out()
        gateway.server.stop()
        log = gateway.server.output()
        self.assertRegex(log, r"/\?page=1|\"/\"|path", "expected an access log")
        secrets = [PASSWORDS["alice"], "wrong-but-secret"]
        secrets += re.findall(r"sessionid=([^;\s]{8,})", "\n".join(alice.set_cookie_lines))
        for secret in secrets:
            self.assertNotIn(secret, log)
