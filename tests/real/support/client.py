"""A client that behaves like one person's browser: keeps cookies, sends Origin and Sec-Fetch-*, submits forms.

Raw enough to send what a browser never would (forged headers, odd spellings); it follows redirects only when
asked, so that a test sees each step. It knows nothing of how the gateway names its fields or cookies.
"""

import http.client
import json
import ssl
from dataclasses import dataclass
from urllib.parse import urlencode, urljoin, urlsplit

from .forms import form_with


@dataclass
class Response:
    """One response, its body read to the end."""

    status: int
    headers: list
    body: bytes
    url: str

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.body)

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name):
        return ", ".join(self.all(name)) or None

    def __str__(self):
        lines = "\n".join(f"{key}: {value}" for key, value in self.headers)
        return f"{self.url} answered {self.status}\n{lines}\n\n{self.text[:3000]}"


class Client:
    """One browser profile at `http://127.0.0.1:PORT`."""

    def __init__(self, port, scheme="http", trust=None):
        self.port = port
        self.scheme = scheme
        self.cookies = {}
        self.set_cookie_lines = []
        self._tls = trust

    @property
    def origin(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def request(self, method, path, headers=(), body=None):
        """Sends one request with exactly these headers (a list of pairs may repeat names), plus Host and cookies."""
        connection = self._connect()
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in self._cookie_header() + _pairs(headers):
                connection.putheader(name, value)
            data = body.encode() if isinstance(body, str) else body
            if data is not None:
                connection.putheader("Content-Length", str(len(data)))
            connection.endheaders(data)
            answer = connection.getresponse()
            response = Response(answer.status, answer.getheaders(), answer.read(), self.origin + path)
        finally:
            connection.close()
        self._keep_cookies(response)
        return response

    def _connect(self):
        if self.scheme == "https":
            trust = self._tls or ssl.create_default_context()
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=trust)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def _cookie_header(self):
        line = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return [("Cookie", line)] if line else []

    def _keep_cookies(self, response):
        for line in response.all("set-cookie"):
            self.set_cookie_lines.append(line)
            pair, *attributes = (part.strip() for part in line.split(";"))
            name, _, value = pair.partition("=")
            if any(word.lower() == "max-age=0" or "01 jan 1970" in word.lower() for word in attributes):
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value

    def navigate(self, path, headers=(), follow=True):
        """What an address bar or a link sends."""
        ask = [("Accept", "text/html,*/*;q=0.8"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]
        response = self.request("GET", path, ask + [("Sec-Fetch-Site", "none")] + _pairs(headers))
        return self.follow(response) if follow else response

    def fetch(self, path, method="GET", headers=(), body=None):
        """What a page's script sends."""
        ask = [("Accept", "*/*"), ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Site", "same-origin")]
        if method != "GET":
            ask.append(("Origin", self.origin))
        return self.request(method, path, ask + _pairs(headers), body)

    def follow(self, response):
        """Goes where redirects lead; a loop or another origin is a failure."""
        for _ in range(10):
            if response.status not in (301, 302, 303, 307, 308):
                return response
            target = urlsplit(urljoin(response.url, response.header("location")))
            if f"{target.scheme}://{target.netloc}" != self.origin:
                raise AssertionError(f"expected a redirect within {self.origin}, got\n{response}")
            path = target.path + (f"?{target.query}" if target.query else "")
            response = self.navigate(path, follow=False)
        raise AssertionError(f"expected an end of redirects after ten, got\n{response}")

    def submit(self, page, form, button=None, follow=True, **values):
        """Sends a form of a page as the browser would, with some fields filled in."""
        fields = {**form.values, **values, **({button: ""} if button else {})}
        target = urlsplit(urljoin(page.url, form.action or page.url))
        path = target.path + (f"?{target.query}" if target.query else "")
        headers = [
            ("Accept", "text/html,*/*;q=0.8"), ("Content-Type", "application/x-www-form-urlencoded"),
            ("Origin", self.origin), ("Referer", page.url), ("Sec-Fetch-Site", "same-origin"),
            ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"),
        ]
        response = self.request(form.method, path, headers, urlencode(fields))
        return self.follow(response) if follow else response

    def sign_in(self, path, user, password, follow=True):
        """Opens a protected page and fills in the sign-in form it leads to."""
        page = self.navigate(path)
        form = form_with(page.text, lambda form: form.has("password"), "a password field")
        filled = {form.name_of("text", "email"): user, form.name_of("password"): password}
        return self.submit(page, form, follow=follow, **filled)

    def sign_out(self, prefix="/.session", follow=True):
        """Opens the sign-out page and presses its button."""
        page = self.navigate(f"{prefix}/logout")
        form = form_with(page.text, lambda form: form.method == "POST" and not form.has("password"), "a button only")
        return self.submit(page, form, follow=follow)


def _pairs(headers):
    return list(headers.items()) if isinstance(headers, dict) else list(headers)
