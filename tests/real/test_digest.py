"""Servers that know their users by HTTP Digest alone, behind the gateway: who has signed in there is let in here.

Apache's nonces live for some seconds in these tests, so that some are too old; lighttpd knows SHA-256 besides MD5.
"""

import textwrap
import time
import unittest
import urllib.error
import urllib.request

from support.digest_apps import REALM, SECONDS, Apache, Lighttpd
from support.gateway import PASSWORDS, Gateway
from support.process import eventually


def signed_on(name, port, path="/"):
    return textwrap.dedent(f"""\
        - name: {name}
          path: {path}
          strip_prefix: {"true" if path != "/" else "false"}
          sign_on: {{ digest: true }}
          upstream: http://127.0.0.1:{port}
        """)


class DigestBehindTheGateway(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.apache, cls.old, cls.new = Apache(), Lighttpd("MD5"), Lighttpd("SHA-256")
        for app in (cls.apache, cls.old, cls.new):
            cls.addClassCleanup(app.stop)
        cls.gateway = Gateway(
            signed_on("dav", cls.apache.port), signed_on("old", cls.old.port, "/old"), signed_on("new", cls.new.port, "/new")
        )
        cls.addClassCleanup(cls.gateway.stop)

    def test_the_servers_ask_strangers(self):
        for app in (self.apache, self.old, self.new):
            with self.subTest(app=type(app).__name__), self.assertRaises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"http://127.0.0.1:{app.port}/hello.txt")
            asked = refused.exception.headers["WWW-Authenticate"]
            print(asked)
            self.assertIn(f'realm="{REALM}"', asked)

    def test_a_file_is_read(self):
        alice = self.gateway.signed_in("alice")
        for path in ("/hello.txt", "/old/hello.txt", "/new/hello.txt", "/hello.txt?a=b&c=%22"):
            with self.subTest(path=path):
                for _ in range(3):
                    answer = alice.fetch(path)
                    self.assertEqual((answer.status, answer.text), (200, "hello, alice\n"), str(answer))
                self.assertIsNone(answer.header("authentication-info"))

    def test_files_are_written_moved_and_listed(self):
        alice = self.gateway.signed_in("alice")
        for number in range(6):
            stored = alice.fetch(f"/{number}.txt", "PUT", {"Content-Type": "text/plain"}, f"number {number}")
            self.assertIn(stored.status, (201, 204), f"{stored}\n{self.apache.server.output()}")
        listed = alice.fetch("/", "PROPFIND", {"Depth": "1"}, '<propfind xmlns="DAV:"><allprop/></propfind>')
        self.assertEqual(listed.status, 207, str(listed))
        self.assertIn("5.txt", listed.text)
        moved = alice.fetch("/5.txt", "MOVE", {"Destination": f"{alice.origin}/moved.txt", "Overwrite": "T"})
        self.assertIn(moved.status, (201, 204), str(moved))
        self.assertEqual(alice.fetch("/moved.txt").text, "number 5")

    def test_when_a_nonce_is_too_old_reading_and_writing_go_on(self):
        alice = self.gateway.signed_in("alice")
        self.assertEqual(alice.fetch("/hello.txt").status, 200)
        self._outlive_a_nonce()
        self.assertEqual(alice.fetch("/hello.txt").status, 200)
        self.assertIn("nonce expired", self.apache.server.output())
        self._outlive_a_nonce()
        answer = alice.fetch("/late.txt", "PUT", {"Content-Type": "text/plain"}, "late")
        self.assertIn(answer.status, (201, 204), f"{answer}\n{self.apache.server.output()}")

    def _outlive_a_nonce(self):
        """Apache's clock is the machine's."""
        over = time.monotonic() + SECONDS + 1
        eventually(lambda: time.monotonic() > over, "the time of a nonce is over", 3 * SECONDS)

    def test_another_user_sees_the_gateways_page_and_no_question(self):
        bob = self.gateway.client()
        # Signed in, and led on to what the app refuses.
        bob.sign_in("/hello.txt", "bob", PASSWORDS["bob"])
        self.assertEqual(bob.fetch("/.session/me").json()["user"], "bob")
        for path in ("/hello.txt", "/old/hello.txt"):
            answer = bob.fetch(path)
            self.assertEqual((answer.status, answer.header("www-authenticate")), (502, None), str(answer))
