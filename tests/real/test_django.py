"""The admin of an unmodified Django with RemoteUserMiddleware behind the gateway, under three servers.

Django's own cookie is called `sessionid`, as is the gateway's by default. Two runs:

- `cookie.name` set to something else: both cookies live side by side, as a deployer should have it.
- the default: the gateway drops Django's `Set-Cookie` of the same name, so Django meets the user anew on every
  request (a row in django_session each time). Work goes through all the same, because RemoteUserMiddleware needs
  only the header; what does not survive is what Django would keep in its own session.
"""

import unittest

from support.apps import Django
from support.forgery import aliases
from support.forms import form_with
from support.gateway import Gateway, route

ADD = "/admin/auth/user/add/"
LIST = "/admin/auth/user/"
FORGED = [*aliases("Remote-User"), "HTTP_REMOTE_USER"]


class Behind:
    """What holds under each server and with each cookie name; the classes below give them."""

    served_by = "gunicorn"
    cookie = "ticket"

    @classmethod
    def setUpClass(cls):
        cls.app = Django(cls.served_by)
        cls.addClassCleanup(cls.app.stop)
        cls.gateway = Gateway(route("office", cls.app.port, headers="remote"), cookie=cls.cookie)
        cls.addClassCleanup(cls.gateway.stop)
        # Nothing but the removal of headers protects the app here.
        cls.open = Gateway(route("office", cls.app.port, access="public"), cookie=cls.cookie)
        cls.addClassCleanup(cls.open.stop)

    def test_the_admin_greets_the_user_who_signed_in(self):
        alice = self.gateway.client()
        page = alice.sign_in("/admin/", "alice", "correct horse battery")
        self.assertEqual(page.status, 200, str(page))
        self.assertRegex(page.text, r"(?s)Welcome,\s*<strong>alice</strong>", str(page))

    def test_a_user_is_added_through_the_admins_own_form(self):
        alice = self.gateway.signed_in("alice", "/admin/")
        self._add(alice, "newcomer")
        listed = alice.navigate(LIST)
        self.assertEqual(listed.status, 200, str(listed))
        self.assertIn(">newcomer</a>", listed.text)

    def _add(self, client, name):
        page = client.navigate(ADD)
        form = form_with(page.text, lambda form: "username" in form.types, "a field `username`")
        self.assertIn("csrfmiddlewaretoken", form.values)
        secret = "a long enough one 77"
        done = client.submit(page, form, "_save", username=name, password1=secret, password2=secret)
        self.assertEqual(done.status, 200, str(done))
        self.assertRegex(done.text, rf"(?s){name}.*was added successfully", str(done))

    def test_a_user_without_rights_in_the_app_is_not_let_into_the_admin(self):
        bob = self.gateway.client()
        page = bob.sign_in("/admin/", "bob", "staple under moss")
        self.assertIn("authenticated as bob", page.text.replace("\n", " "), str(page))
        self.assertEqual(bob.fetch(LIST).status, 302, "expected Django to send bob to its own login page")

    def test_after_sign_out_the_admin_is_closed(self):
        alice = self.gateway.signed_in("alice", "/admin/")
        alice.sign_out()
        self.assertEqual(alice.fetch(LIST).status, 401)
        answer = alice.navigate(LIST, follow=False)
        self.assertEqual(answer.status, 302, str(answer))
        self.assertIn("/.session/login", answer.header("location"))

    def test_a_forged_header_without_a_session_opens_nothing(self):
        for name in FORGED:
            for place, gateway, refused in (("user", self.gateway, (400, 401)), ("public", self.open, (302, 400))):
                with self.subTest(header=name, access=place):
                    answer = gateway.client().fetch(LIST, headers={name: "alice"})
                    self.assertIn(answer.status, refused, str(answer))

    def test_a_forged_header_with_a_session_changes_nobody(self):
        bob = self.gateway.signed_in("bob", "/admin/")
        for name in FORGED:
            for headers in ([(name, "alice")], [(name, "alice"), ("Connection", name)]):
                with self.subTest(headers=headers):
                    answer = bob.fetch("/admin/login/", headers=headers)
                    if answer.status != 400:
                        self.assertRegex(answer.text, r"authenticated as bob,\s+but", str(answer))


class DjangoUnderGunicorn(Behind, unittest.TestCase):
    def test_both_cookies_live_side_by_side(self):
        alice = self.gateway.signed_in("alice", "/admin/")
        alice.navigate("/admin/")
        self.assertIn("ticket", alice.cookies)
        self.assertIn("sessionid", alice.cookies)
        before = self.app.session_rows()
        for _ in range(3):
            self.assertEqual(alice.navigate("/admin/").status, 200)
        self.assertEqual(self.app.session_rows(), before, "expected Django to keep its one session")


class DjangoUnderItsDevelopmentServer(Behind, unittest.TestCase):
    served_by = "runserver"


class DjangoUnderWsgiref(Behind, unittest.TestCase):
    served_by = "wsgiref"


class DjangoWithTheSameCookieName(Behind, unittest.TestCase):
    cookie = "sessionid"

    def test_the_apps_cookie_of_the_same_name_never_replaces_ours(self):
        alice = self.gateway.signed_in("alice", "/admin/")
        ours = alice.cookies["sessionid"]
        for _ in range(3):
            page = alice.navigate("/admin/")
            self.assertEqual(page.status, 200, str(page))
            lines = [line for line in page.all("set-cookie") if line.startswith("sessionid=")]
            self.assertEqual(lines, [], "expected the app's cookie of our name to be dropped")
        self.assertEqual(alice.cookies["sessionid"], ours)

    def test_our_cookie_never_reaches_the_app(self):
        alice = self.gateway.signed_in("alice", "/admin/")
        before = self.app.session_rows()
        for _ in range(3):
            alice.navigate("/admin/")
        self.assertEqual(self.app.session_rows(), before + 3, "expected Django to meet the user anew each time")
