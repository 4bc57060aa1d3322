"""Two apps with accounts of their own, to which the gateway signs people on: each with the example shipped for it.

A person signs in once, at the gateway's own page, and never sees the app's. What they do there is real work; the app
forgets them meanwhile, and they do not notice.
"""

import json
import unittest

from support.gateway import users_yaml
from support.own_accounts import PASSWORD, USER, DjangoAdmin, DokuWiki, ShippedExample
from support.own_sign_in import Visits


class SignedOn(Visits):
    """Tests for a `TestCase` beside it in the bases.

    `app`, `example` and `variable`: as in `OwnSignIn`; `people`: who may sign in here, with passwords; `person`: one
    whom the app knows, `refused`: one whom it does not let in; `files`: what lies beside the configuration.
    """

    files = {}

    @classmethod
    def setUpClass(cls):
        cls.running = cls.app()
        cls.addClassCleanup(cls.running.stop)
        files = {"users.yaml": users_yaml(cls.people), **cls.files}
        cls.gateway = ShippedExample(cls.example, cls.variable, cls.running, files)
        cls.addClassCleanup(cls.gateway.stop)

    def sign_in(self, person):
        """At the gateway's own page, which whoever opens the app is led to."""
        self.browser.open(self.gateway.url + self.protected)
        self.assertIn("/.session/login", self.browser.driver.current_url)
        self.browser.fill_in(person, self.people[person])

    def is_signed_on(self):
        """At the app's page that was asked for, and nothing of the app's in the browser."""
        self.assertTrue(self.browser.driver.current_url.endswith(self.protected), self.browser.page())
        self.assertFalse(self.browser.driver.find_elements("css selector", "input[name=p], #id_password"))
        self.assertEqual(self.me()["user"], self.person)
        self.assertLessEqual(set(self.jar()), {"sessionid"} | self.exposed)

    def told(self, event):
        """What the gateway has logged under this name."""
        lines = [line for line in self.gateway.server.output().splitlines() if f'"event":"{event}"' in line]
        return [json.loads(line) for line in lines]

    def test_a_person_signs_in_once_and_works_though_the_app_forgets_them(self):
        before = self.running.sign_ins()
        self.sign_in(self.person)
        self.is_signed_on()
        self.work("first")
        self.running.forget_everybody()
        self.browser.open(self.gateway.url + self.protected)
        self.is_signed_on()
        self.work("second")
        self.running.forget_everybody()
        self.browser.open(self.gateway.url + self.protected)
        self.is_signed_on()
        self.assertEqual(self.running.sign_ins() - before - self.posts, 3)

    def test_signing_out_at_the_gateway_ends_it_and_the_old_cookie_is_dead(self):
        self.sign_in(self.person)
        self.is_signed_on()
        held = self.jar()
        answer = self.gateway.client(held).fetch(self.protected)
        self.assertEqual(answer.status, 200, f"the cookie must work before it is stale\n{answer}")
        before = self.running.sign_ins()
        self.browser.open(self.gateway.url + "/.session/logout")
        self.browser.sign_out()
        self.is_a_stranger(held)
        self.assertEqual(self.running.sign_ins(), before)

    def test_signing_out_at_the_app_is_not_undone_by_another_sign_on(self):
        self.sign_in(self.person)
        self.is_signed_on()
        held = self.jar()
        before = self.running.sign_ins()
        self.sign_out_at_the_app()
        self.is_a_stranger(held)
        self.browser.open(self.gateway.url + self.protected)
        self.assertIn("/.session/login", self.browser.driver.current_url)
        self.assertEqual(self.running.sign_ins(), before)

    def is_a_stranger(self, held):
        """Whoever has these cookies."""
        thief = self.gateway.client(held)
        answer = thief.fetch(self.protected)
        self.assertEqual((answer.status, answer.json()["error"]), (401, "login_required"), str(answer))
        self.assertFalse(thief.fetch("/.session/me").json()["authenticated"])

    def test_a_password_that_the_app_refuses_is_said_once_on_a_clear_page(self):
        before = self.running.sign_ins()
        self.sign_in(self.refused)
        for _ in range(3):
            self.assertIn("The application did not let you in", self.browser.text())
            self.assertTrue(self.browser.driver.current_url.endswith(self.protected), self.browser.page())
            self.browser.open(self.gateway.url + self.protected)
        self.assertEqual(self.running.sign_ins() - before, 1)
        failed = [line for line in self.told("sign_on_failed") if line["user"] == self.refused]
        self.assertEqual(len(failed), 1, failed)
        self.assertIn("refused the credentials", failed[0]["reason"])
        self.assertNotIn(self.people[self.refused], self.gateway.server.output())
        held = self.jar()
        self.browser.sign_out()
        self.is_a_stranger(held)


class DokuWikiSignedOn(SignedOn, unittest.TestCase):
    """By a file: who they are at the wiki, and passwords that they need not know."""

    app, example, variable = DokuWiki, "dokuwiki-sign-on", "DOKUWIKI"
    protected, exposed = "/doku.php?id=start", {"DOKU_PREFS"}
    people = {"ann": "a password of the gateway", "mallory": "another of them", "bob": "who has no account there"}
    person, refused = "ann", "mallory"
    files = {"accounts.yaml": json.dumps({
        "ann": {"username": USER, "password": PASSWORD},
        "mallory": {"username": USER, "password": "not the password"},
    })}
    # What else it gets: a saved page.
    posts = 2

    def work(self, word):
        self.browser.open(self.gateway.url + "/doku.php?id=start&do=edit")
        self.type_into("#wiki__text", f"Milk, eggs and **a {word} coat**")
        self.browser.click(self.browser.one("#edbtn__save"))
        self.assertIn(f"Milk, eggs and a {word} coat", self.browser.text())
        self.assertIn("Alice (A.) Example", self.browser.text())

    def sign_out_at_the_app(self):
        self.browser.click(self.shown("a[href*='do=logout']"))

    def test_whoever_has_no_account_there_sees_nothing_of_the_wiki(self):
        before = self.running.sign_ins()
        self.sign_in("bob")
        self.assertIn("bob", self.browser.text())
        self.assertNotIn("Wiki", self.browser.text())
        client = self.gateway.client(self.jar())
        self.assertEqual(client.fetch(self.protected).status, 403)
        self.assertEqual(self.running.sign_ins(), before)


class DjangoAdminSignedOn(SignedOn, unittest.TestCase):
    """By what was typed at the gateway's own form."""

    app, example, variable = DjangoAdmin, "django-admin-sign-on", "DJANGO"
    protected = "/admin/auth/user/"
    people = {USER: PASSWORD, "mallory": "whom Django does not know"}
    person, refused = USER, "mallory"
    posts = 0

    def work(self, word):
        self.browser.open(self.gateway.url + "/admin/auth/user/add/")
        self.type_into("#id_username", f"carol-{word}")
        for field in ("#id_password1", "#id_password2"):
            self.type_into(field, "under the mossy staple")
        self.browser.click(self.browser.one("[name=_save]"))
        self.browser.open(self.gateway.url + self.protected)
        self.assertIn(f"carol-{word}", self.browser.text())

    def sign_out_at_the_app(self):
        self.browser.click(self.shown("#logout-form button"))
