"""Headless Chromium, driven through chromedriver from Debian, and the demo it looks at.

A new profile for each browser; nothing is downloaded and nothing but loopback is asked for.
"""

import shutil
import tempfile

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from .gateway import BINARY
from .process import Server, free_port

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1280,800",
)


class Browser:
    """One browser with a fresh profile; `cookies=False` and `scripts=False` block them as its settings page does."""

    def __init__(self, cookies=True, scripts=True):
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in (*FLAGS, f"--user-data-dir={self._profile.name}"):
            options.add_argument(flag)
        blocked = {name: 2 for name, allowed in (("cookies", cookies), ("javascript", scripts)) if not allowed}
        settings = {f"profile.default_content_setting_values.{name}": value for name, value in blocked.items()}
        options.add_experimental_option("prefs", settings)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        # A named chromedriver keeps Selenium from looking for one on the net.
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        self.driver.set_page_load_timeout(30)

    def close(self):
        """Ends browser and chromedriver and removes the profile."""
        self.driver.quit()
        self._profile.cleanup()

    def open(self, url):
        """Types an address."""
        self.driver.get(url)

    def one(self, selector):
        """The one visible element a selector means; what the page says is part of the failure."""
        found = [element for element in self.driver.find_elements(By.CSS_SELECTOR, selector) if element.is_displayed()]
        if not found:
            raise AssertionError(f"expected a visible {selector!r}, got\n{self.page()}")
        return found[0]

    def page(self):
        """Address and text of the page, for failures."""
        return f"{self.driver.current_url}\n{self.text()}"

    def text(self):
        """What a person can read."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def click(self, element):
        """Clicks and waits until the old page is gone and the new one is there."""
        old = self.driver.find_element(By.TAG_NAME, "html")
        element.click()
        self.wait(lambda _: self._left(old), "the click leads to another page")

    def _left(self, old):
        from selenium.common.exceptions import WebDriverException

        try:
            old.is_enabled()
            return False
        except WebDriverException:
            return self.driver.execute_script("return document.readyState") == "complete"

    def wait(self, check, what):
        """Waits for a condition of the page."""
        try:
            return WebDriverWait(self.driver, 10, 0.05).until(check)
        except Exception as error:
            raise AssertionError(f"expected: {what} ({type(error).__name__}), got\n{self.page()}") from None

    def fill_in(self, user, password):
        """Fills in the sign-in form as a person does, and presses its button."""
        name = self.one("form input[type=text], form input[type=email]")
        name.clear()
        name.send_keys(user)
        self.one("input[type=password]").send_keys(password)
        self.click(self.one("form button:not([type=button]), form input[type=submit]"))

    def sign_out(self):
        """Follows the link the page offers and presses the button behind it, as a person does."""
        if "/logout" not in self.driver.current_url:
            self.click(self.one("a[href*='/logout'], form[action*='/logout'] button"))
        if self.driver.find_elements(By.CSS_SELECTOR, "form[action*='/logout'] button, form[method=post] button"):
            self.click(self.one("form[action*='/logout'] button, form[method=post] button"))


class Demo:
    """`cloakroom demo` on a free port; `users` is what it printed on the terminal."""

    # A line of the terminal that names a person and a password.
    PERSON = r"(?im)^\W*(?:user(?:name)?\W+)?([a-z]+)\b.{0,40}?password\W+(\S+)"

    def __init__(self):
        import re

        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = Server([BINARY, "demo", "--listen", f"127.0.0.1:{self.port}"], self.port)
        self.server.wait_for(self.PERSON)
        self.users = dict(re.findall(self.PERSON, self.server.output()))

    def stop(self):
        """Ends the demo."""
        self.server.stop()
