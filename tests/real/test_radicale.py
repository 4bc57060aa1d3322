"""Radicale, a CalDAV server that believes `X-Remote-User`, behind the gateway.

Real work goes through (MKCALENDAR, PUT, GET, PROPFIND, REPORT); nobody becomes somebody else by a header.
Radicale's server folds `_` into `-`, so every alias the gateway lets through would be believed
(`test_apps_alone` shows it).
"""

import unittest

from support import calendar
from support.apps import Radicale
from support.forgery import aliases
from support.gateway import PASSWORDS, Gateway, route

COLLECTION = "/alice/meetings/"
ENTRY = COLLECTION + "meeting.ics"


class RadicaleBehindTheGateway(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        app = Radicale()
        cls.addClassCleanup(app.stop)
        cls.gateway = Gateway(route("calendar", app.port, headers='{ X-Remote-User: "{user}" }'))
        cls.addClassCleanup(cls.gateway.stop)
        # Nothing but the removal of headers protects the app here.
        cls.open = Gateway(route("calendar", app.port, access="public", headers='{ X-Remote-User: "{user}" }'))
        cls.addClassCleanup(cls.open.stop)
        alice = cls.gateway.signed_in("alice", "/.web/")
        secret = calendar.entry("one", "Alice's secret")
        for method, path, text in (("MKCALENDAR", COLLECTION, ""), ("PUT", ENTRY, secret)):
            answer = alice.fetch(path, method, {"Content-Type": "text/calendar"}, text)
            if answer.status != 201:
                raise AssertionError(f"expected {method} {path} to answer 201, got\n{answer}\n{app.server.output()}")

    def test_the_app_sees_the_user_who_signed_in(self):
        for user in PASSWORDS:
            with self.subTest(user=user):
                found = calendar.who(self.gateway.signed_in(user, "/.web/"))
                self.assertEqual(found, user, str(found))

    def test_an_entry_is_stored_read_back_listed_and_reported(self):
        alice = self.gateway.signed_in("alice", "/.web/")
        stored = calendar.put(alice, COLLECTION + "lunch.ics", calendar.entry("two", "Lunch with Bob"))
        self.assertEqual(stored.status, 201, str(stored))
        read = alice.fetch(COLLECTION + "lunch.ics")
        self.assertEqual(read.status, 200, str(read))
        self.assertIn("SUMMARY:Lunch with Bob", read.text)
        listed = alice.fetch(COLLECTION, "PROPFIND", {"Depth": "1"})
        self.assertEqual(listed.status, 207, str(listed))
        self.assertIn("lunch.ics", listed.text)
        found = calendar.report(alice, COLLECTION)
        self.assertEqual(found.status, 207, str(found))
        self.assertIn("SUMMARY:Lunch with Bob", found.text)

    def test_an_entry_of_another_user_stays_unreadable(self):
        bob = self.gateway.signed_in("bob", "/.web/")
        for method in ("GET", "PROPFIND", "DELETE"):
            with self.subTest(method=method):
                answer = bob.fetch(ENTRY, method, {"Depth": "0"})
                self.assertIn(answer.status, (403, 404), str(answer))
                self.assertNotIn("secret", answer.text)

    def test_without_a_session_a_navigation_is_led_to_the_sign_in_page(self):
        answer = self.gateway.client().navigate(ENTRY, follow=False)
        self.assertEqual(answer.status, 302, str(answer))
        self.assertIn("/.session/login", answer.header("location"))

    def test_without_a_session_a_program_gets_401_and_json_never_a_redirect(self):
        for method in ("GET", "PROPFIND", "REPORT", "PUT"):
            with self.subTest(method=method):
                answer = self.gateway.client().fetch(ENTRY, method, body="" if method == "PUT" else None)
                self.assertEqual(answer.status, 401, str(answer))
                self.assertIn("error", answer.json())
                self.assertIn("/.session/login", answer.json()["login_url"])

    def test_after_sign_out_the_browser_is_refused_and_so_is_its_old_cookie(self):
        alice = self.gateway.signed_in("alice", "/.web/")
        old = dict(alice.cookies)
        self.assertEqual(calendar.who(alice), "alice")
        alice.sign_out()
        self.assertEqual(alice.fetch(ENTRY).status, 401)
        thief = self.gateway.client()
        thief.cookies = old
        answer = thief.fetch(ENTRY)
        self.assertEqual(answer.status, 401, str(answer))

    def test_a_forged_header_without_a_session_gets_nothing(self):
        for name in aliases("X-Remote-User"):
            with self.subTest(header=name):
                answer = self.gateway.client().fetch(ENTRY, headers={name: "alice"})
                self.assertIn(answer.status, (400, 401), str(answer))
                self.assertNotIn("secret", answer.text)

    def test_a_forged_header_on_a_public_route_gets_nothing(self):
        for name in aliases("X-Remote-User"):
            with self.subTest(header=name):
                answer = self.open.client().fetch(ENTRY, headers={name: "alice"})
                self.assertIn(answer.status, (400, 401, 403), str(answer))
                self.assertNotIn("secret", answer.text)

    def test_a_forged_header_with_a_session_changes_nobody(self):
        bob = self.gateway.signed_in("bob", "/.web/")
        for name in aliases("X-Remote-User"):
            forged = (name, "alice")
            for headers in ([forged], [forged, forged], [forged, ("Connection", name)]):
                with self.subTest(headers=headers):
                    self._is_bob_or_refused(bob, headers)

    def _is_bob_or_refused(self, bob, headers):
        found = calendar.who(bob, headers)
        if found != "bob":
            self.assertEqual(getattr(found, "status", found), 400, f"expected bob or 400, got {found}")
        answer = bob.fetch(ENTRY, headers=headers)
        self.assertIn(answer.status, (400, 403, 404), str(answer))
        self.assertNotIn("secret", answer.text)

    def test_a_client_cannot_have_the_gateways_own_header_removed(self):
        bob = self.gateway.signed_in("bob", "/.web/")
        found = calendar.who(bob, {"Connection": "close, X-Remote-User"}.items())
        self.assertEqual(found, "bob", str(found))
