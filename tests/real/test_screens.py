"""A picture of each page, light and dark, on a desk and on a phone, into target/screenshots, to be looked at.

Also what a machine can see: nothing wider than the screen, a title, a language, and text that stands out from
its background (WCAG 2 contrast, 4.5).
"""

import os
import unittest
from pathlib import Path

from support.browser import Browser, Demo
from support.gateway import PASSWORDS, ROOT, Gateway, route
from support.process import free_port
from support.upstream import Upstream, say

PICTURES = Path(os.environ.get("SCREENSHOTS") or ROOT / "target" / "screenshots")
SCREENS = {"desktop": (1280, 800, False), "phone": (390, 844, True)}

# Elements with text of their own whose colour is too close to the first opaque background behind them.
FAINT = """
const numbers = text => (text.match(/[\\d.]+/g) || []).map(Number);
const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = node => {
    for (; node; node = node.parentElement) {
        const [r, g, b, a = 1] = numbers(getComputedStyle(node).backgroundColor);
        if (a > 0.99) return [r, g, b];
    }
    return matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18] : [255, 255, 255];
};
return [...document.body.querySelectorAll('*')].flatMap(node => {
    const words = [...node.childNodes].filter(n => n.nodeType === 3).map(n => n.textContent.trim()).join('');
    if (!words || !node.checkVisibility() || node.matches('style, script, title, :disabled')) return [];
    const ink = light(numbers(getComputedStyle(node).color)), paper = light(behind(node));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    return ratio < 4.5 ? [`${words.slice(0, 40)}: ${ratio.toFixed(2)}`] : [];
});
"""


def without_a_way_in(port):
    """A route whose users are to be signed on to an app that has no sign-in."""
    return route("locked", port, path="/locked") + "  cookies: vault\n  sign_on: { login_page: /locked/in }\n"


class EachPageIsLookedAt(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        PICTURES.mkdir(parents=True, exist_ok=True)
        cls.demo = Demo()
        cls.addClassCleanup(cls.demo.stop)
        app = Upstream(say("an app"))
        cls.addClassCleanup(app.stop)
        nobody = free_port()
        cls.gateway = Gateway(
            route("app", app.port),
            route("down", nobody, path="/down"),
            route("managers", app.port, path="/managers", access="{ groups: [managers] }"),
            without_a_way_in(app.port),
        )
        cls.addClassCleanup(cls.gateway.stop)

    def test_pages_of_the_demo(self):
        self._everywhere(self._walk_the_demo)

    def test_pages_of_trouble(self):
        self._everywhere(self._walk_into_trouble)

    def test_the_page_for_a_browser_without_cookies(self):
        self._everywhere(self._without_cookies, cookies=False)

    def test_pages_for_a_form_that_met_the_end_of_the_session(self):
        self._everywhere(self._interrupt)

    def test_the_page_after_too_many_tries(self):
        app = Upstream(say("an app"))
        self.addCleanup(app.stop)
        # Apart from the others: the address of all our browsers is banned here.
        gateway = Gateway(route("app", app.port))
        self.addCleanup(gateway.stop)
        self._everywhere(lambda browser, variant: self._guess(browser, variant, f"http://127.0.0.1:{gateway.port}/"))

    def _everywhere(self, walk, **settings):
        for screen, (width, height, phone) in SCREENS.items():
            for scheme in ("light", "dark"):
                browser = Browser(**settings)
                try:
                    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
                    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
                    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
                    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
                    walk(browser, f"{scheme}-{screen}")
                finally:
                    browser.close()

    def _picture(self, browser, page, variant):
        name = f"{page}-{variant}"
        browser.driver.save_screenshot(str(PICTURES / f"{name}.png"))
        with self.subTest(picture=name):
            script = browser.driver.execute_script
            wide = script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
            self.assertLessEqual(wide, 0, f"{name} is {wide} pixels wider than the screen")
            self.assertTrue(browser.driver.title.strip(), f"{name} has no title")
            self.assertTrue(script("return document.documentElement.lang"), f"{name} names no language")
            self.assertEqual(script(FAINT), [], f"{name} has text that is hard to read")

    def _walk_the_demo(self, browser, variant):
        user, password = next(iter(self.demo.users.items()))
        browser.open(self.demo.url + "/")
        self._picture(browser, "demo-front", variant)
        browser.open(self.demo.url + "/secret")
        self._picture(browser, "sign-in", variant)
        browser.fill_in(user, "wrong")
        self._picture(browser, "sign-in-refused", variant)
        browser.fill_in(user, password)
        self._picture(browser, "demo-secret", variant)
        browser.open(self.demo.url + "/headers")
        self._picture(browser, "demo-headers", variant)
        browser.open(self.demo.url + "/.session/logout")
        self._picture(browser, "sign-out", variant)
        browser.sign_out()
        self._picture(browser, "signed-out", variant)

    def _walk_into_trouble(self, browser, variant):
        origin = f"http://127.0.0.1:{self.gateway.port}"
        browser.open(origin + "/")
        browser.fill_in("bob", PASSWORDS["bob"])
        pages = {"forbidden": "/managers", "app-down": "/down", "no-such-page": "/.session/nothing"}
        pages["sign-on-refused"] = "/locked"
        for page, path in {**pages, "cookie-check": "/.session/cookie-check"}.items():
            browser.open(origin + path)
            self._picture(browser, page, variant)

    # A page of the same origin with a form, as an app would have it.
    FORM = "document.body.innerHTML = `<form method=post action='{0}'><input name=a value=b></form>`; document.forms[0].submit()"

    def _send(self, browser, path):
        old = browser.one("html")
        browser.driver.execute_script(self.FORM.format(path))
        browser.wait(lambda _: browser._left(old), "the form leads to another page")

    def _interrupt(self, browser, variant):
        # Each in a gateway of its own: one address may have a few forms waiting.
        app = Upstream(say("an app"))
        self.addCleanup(app.stop)
        down = route("down", free_port(), path="/down")
        gateway = Gateway(route("app", app.port), down, without_a_way_in(app.port))
        self.addCleanup(gateway.stop)
        origin = f"http://127.0.0.1:{gateway.port}"
        browser.open(origin + "/.session/logout")
        self._send(browser, "/save")
        self._picture(browser, "form-lost", variant)
        # The sign-in page has begun a session, so that this form is kept.
        self._send(browser, "/wiki/Pages/A-rather-long-name-for-a-page-about-nothing?action=save")
        self._picture(browser, "form-kept", variant)
        browser.fill_in("alice", PASSWORDS["alice"])
        self._picture(browser, "form-question", variant)
        browser.click(browser.one("button.quiet"))
        browser.open(origin + "/.session/parked")
        self._picture(browser, "form-gone", variant)
        browser.open(origin + "/.session/logout")
        browser.sign_out()
        browser.open(origin + "/.session/login")
        self._send(browser, "/down/save")
        self._send(browser, "/save")
        browser.fill_in("alice", PASSWORDS["alice"])
        self._picture(browser, "form-questions", variant)
        browser.click(browser.one("form[action='/down/save'] button"))
        self._picture(browser, "form-unreached", variant)
        browser.click(browser.one("form[action='/save'] button"))
        self.assertIn("an app", browser.text())
        browser.open(origin + "/.session/logout")
        browser.sign_out()
        browser.open(origin + "/.session/login")
        self._send(browser, "/locked/save")
        browser.fill_in("alice", PASSWORDS["alice"])
        browser.click(browser.one("form[action='/locked/save'] button"))
        self._picture(browser, "form-refused", variant)

    def _guess(self, browser, variant, url):
        browser.open(url)
        for _ in range(5):
            browser.fill_in("alice", "a guess")
        self.assertRegex(browser.one("[role=alert]").text, "(?i)too many", browser.page())
        self._picture(browser, "too-many-tries", variant)

    def _without_cookies(self, browser, variant):
        browser.open(self.demo.url + "/secret")
        user, password = next(iter(self.demo.users.items()))
        browser.fill_in(user, password)
        self._picture(browser, "cookies-blocked", variant)
