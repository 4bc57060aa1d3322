"""A person with a real browser before `cloakroom demo`: what is typed, read and clicked, nothing else.

User and password come from what the demo prints on the terminal, as its reader would take them.
"""

import unittest

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from support.browser import Browser, Demo
from support.client import Client


class APersonBeforeTheDemo(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.demo = Demo()
        cls.addClassCleanup(cls.demo.stop)
        cls.user, cls.password = next(iter(cls.demo.users.items()))

    def browser(self, **settings):
        browser = Browser(**settings)
        self.addCleanup(browser.close)
        return browser

    def at_the_sign_in_page(self, **settings):
        browser = self.browser(**settings)
        browser.open(self.demo.url + "/secret")
        self.assertIn("/.session/login", browser.driver.current_url, browser.page())
        return browser

    def signed_in(self, **settings):
        browser = self.at_the_sign_in_page(**settings)
        browser.fill_in(self.user, self.password)
        self.assertEqual(browser.driver.current_url, self.demo.url + "/secret", browser.page())
        return browser

    def test_two_people_are_printed_on_the_terminal(self):
        self.assertEqual(len(self.demo.users), 2, f"{self.demo.users} read from:\n{self.demo.server.output()}")

    def test_each_person_on_the_terminal_can_sign_in(self):
        for user, password in self.demo.users.items():
            with self.subTest(user=user):
                browser = self.at_the_sign_in_page()
                browser.fill_in(user, password)
                self.assertEqual(browser.driver.current_url, self.demo.url + "/secret", browser.page())
                self.assertIn(user, browser.text())

    def test_a_wrong_password_is_told_and_the_right_one_leads_back_to_the_page_asked_for(self):
        browser = self.at_the_sign_in_page()
        browser.fill_in(self.user, "not the password")
        self.assertIn("/.session/login", browser.driver.current_url)
        self.assertTrue(browser.one("[role=alert]").text.strip(), browser.page())
        browser.fill_in(self.user, self.password)
        self.assertEqual(browser.driver.current_url, self.demo.url + "/secret", browser.page())

    def test_the_app_shows_the_identity_it_was_given(self):
        browser = self.signed_in()
        self.assertRegex(browser.text(), rf"Remote-User\s+{self.user}")
        browser.open(self.demo.url + "/headers")
        self.assertRegex(browser.text().lower(), rf"remote-user\s+{self.user}")
        self.assertNotIn("sessionid", browser.text(), "our cookie is for the gateway alone")

    def test_the_visit_counter_of_the_app_counts(self):
        browser = self.browser()
        counted = []
        for _ in range(3):
            browser.open(self.demo.url + "/")
            counted.append(int(browser.one(".counter").text))
        self.assertEqual(counted, [counted[0], counted[0] + 1, counted[0] + 2])

    def test_after_signing_out_the_page_asks_again_and_the_old_cookie_is_worth_nothing(self):
        browser = self.signed_in()
        cookies = {cookie["name"]: cookie["value"] for cookie in browser.driver.get_cookies()}
        self.assertIn("sessionid", cookies)
        thief = Client(self.demo.port)
        thief.cookies = dict(cookies)
        self.assertEqual(thief.fetch("/secret").status, 200, "the cookie must work before it is stale")
        browser.sign_out()
        browser.open(self.demo.url + "/secret")
        self.assertIn("/.session/login", browser.driver.current_url, browser.page())
        thief.cookies = dict(cookies)
        answer = thief.fetch("/secret")
        self.assertEqual(answer.status, 401, str(answer))
        self.assertFalse(thief.fetch("/.session/me").json()["authenticated"])

    def test_signing_in_changes_the_cookie(self):
        browser = self.at_the_sign_in_page()
        before = browser.driver.get_cookie("sessionid")
        browser.fill_in(self.user, self.password)
        after = browser.driver.get_cookie("sessionid")
        self.assertIsNotNone(after, browser.page())
        self.assertNotEqual(before and before["value"], after["value"])
        self.assertTrue(after["httpOnly"], after)
        self.assertEqual(after.get("sameSite"), "Lax", after)

    def test_scripts_see_no_cookie_of_ours(self):
        browser = self.signed_in()
        browser.open(self.demo.url + "/")
        seen = browser.driver.execute_script("return document.cookie")
        names = {pair.split("=")[0].strip() for pair in seen.split(";") if pair.strip()}
        self.assertLessEqual(names, {"visits"}, f"document.cookie is {seen!r}")

    def test_a_browser_that_blocks_cookies_gets_a_page_that_names_the_cause(self):
        browser = self.at_the_sign_in_page(cookies=False)
        browser.fill_in(self.user, self.password)
        self.assertRegex(browser.text().lower(), "cookie", browser.page())
        self.assertNotIn("/secret", browser.driver.current_url.split("?")[0])

    def test_the_keyboard_alone_is_enough(self):
        browser = self.at_the_sign_in_page()
        self._tab_to(browser, "text", "email")
        ActionChains(browser.driver).send_keys(self.user).perform()
        self._tab_to(browser, "password")
        ActionChains(browser.driver).send_keys(self.password + Keys.ENTER).perform()
        browser.wait(lambda driver: driver.current_url == self.demo.url + "/secret", "Enter signs in")

    def _tab_to(self, browser, *kinds):
        for _ in range(15):
            focused = browser.driver.switch_to.active_element
            if focused.tag_name == "input" and focused.get_attribute("type") in kinds:
                return
            ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        self.fail(f"expected Tab to reach a field of type {kinds} in 15 steps\n{browser.page()}")

    def test_signing_in_and_out_needs_no_script(self):
        browser = self.signed_in(scripts=False)
        browser.sign_out()
        browser.open(self.demo.url + "/secret")
        self.assertIn("/.session/login", browser.driver.current_url, browser.page())

    def test_no_page_makes_the_browser_complain(self):
        browser = self.signed_in()
        for path in ("/", "/secret", "/.session/login", "/.session/logout"):
            browser.open(self.demo.url + path)
        severe = [line for line in browser.driver.get_log("browser") if "favicon" not in line["message"]]
        self.assertEqual(severe, [], "expected an empty console")
