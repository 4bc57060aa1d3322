"""What holds for every app that signs people in itself, whatever its pages look like.

A test class says how its app is signed in to, used and signed out of; the tests are here, once.
"""

import json

from selenium.webdriver.common.by import By

from .browser import Browser
from .own_accounts import PASSWORD, USER, ShippedExample


class Visits:
    """One browser for each test of a `TestCase` beside it, with its eyes, hands and cookies; what holds of most apps."""

    exposed = frozenset()
    user = USER
    # What a script of the app sends besides the cookie.
    headers = {}

    def setUp(self):
        self.browser = Browser()
        self.addCleanup(self.browser.close)

    def jar(self):
        """Every cookie of the browser, of all paths, as name and value."""
        cookies = self.browser.driver.execute_cdp_cmd("Network.getAllCookies", {})["cookies"]
        return {cookie["name"]: cookie["value"] for cookie in cookies}

    def me(self):
        """Who the gateway says the browser is, asked from the page that is open."""
        script = "const done = arguments[0]; fetch('/.session/me').then(a => a.text()).then(done)"
        return json.loads(self.browser.driver.execute_async_script(script))

    def type_into(self, selector, text):
        field = self.browser.wait(lambda _: self.visible(selector), f"{selector} is shown")
        field.clear()
        field.send_keys(text)
        return field

    def visible(self, selector):
        """The first element that is shown, if there is one."""
        found = self.browser.driver.find_elements(By.CSS_SELECTOR, selector)
        return next((element for element in found if element.is_displayed()), None)

    def shown(self, selector):
        """The same, as soon as there is one."""
        return self.browser.wait(lambda _: self.visible(selector), f"{selector} is shown")

    def eventually_me(self, user):
        self.browser.wait(lambda _: self.me()["user"] == user, f"the gateway knows {user}")

    def is_asked_to_sign_in(self, client):
        """By the gateway, so that the app has not seen the request."""
        answer = client.fetch(self.protected, headers=self.headers)
        self.assertEqual(answer.status, 401, str(answer))
        self.assertEqual(answer.json()["error"], "login_required", str(answer))


class OwnSignIn(Visits):
    """Tests for a `TestCase` beside it in the bases.

    Its app and pages are a class of `own_pages`; `user`: the name here.
    """

    @classmethod
    def setUpClass(cls):
        cls.running = cls.app()
        cls.addClassCleanup(cls.running.stop)
        cls.gateway = ShippedExample(cls.example, cls.variable, cls.running)
        cls.addClassCleanup(cls.gateway.stop)

    def is_forgotten_by_the_gateway_when_by_the_app(self, sign_in):
        """Where its `sign_in` shows then."""
        self.sign_in(PASSWORD)
        self.eventually_me(self.user)
        held = self.jar()
        self.running.forget_everybody()
        self.browser.open(self.gateway.url + self.protected)
        self.shown(sign_in)
        self.eventually_me(None)
        self.is_asked_to_sign_in(self.gateway.client(held))

    def test_a_wrong_password_signs_nobody_in(self):
        self.sign_in("not the password")
        self.was_refused()
        self.assertFalse(self.me()["authenticated"], self.browser.page())
        self.is_asked_to_sign_in(self.gateway.client(self.jar()))
        self.assertLessEqual(set(self.jar()), {"sessionid"} | self.exposed)

    def test_a_stranger_is_asked_to_sign_in_by_the_app_and_gets_nothing_else(self):
        self.is_asked_to_sign_in(self.gateway.client())

    def test_a_person_signs_in_works_and_signs_out_and_the_old_cookie_is_dead(self):
        self.sign_in(PASSWORD)
        self.eventually_me(self.user)
        self.work()
        held = self.jar()
        self.assertIn("sessionid", held)
        self.assertLessEqual(set(held), {"sessionid"} | self.exposed)
        thief = self.gateway.client(held)
        answer = thief.fetch(self.protected, headers=self.headers)
        self.assertEqual(answer.status, 200, f"the cookie must work before it is stale\n{answer}")
        self.sign_out()
        self.eventually_me(None)
        thief = self.gateway.client(held)
        self.is_asked_to_sign_in(thief)
        self.assertFalse(thief.fetch("/.session/me").json()["authenticated"])
        self.assertLessEqual(set(self.jar()), {"sessionid"} | self.exposed)
