"""HTML forms as a browser sees them: which fields a page would send, without knowing the page.

Used to sign in, sign out and work in an app through its real pages; a hidden field the gateway or the app
adds later is sent along without a change here.
"""

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Form:
    """One form: where it goes, what it would send, and the type of each field."""

    action: str = ""
    method: str = "GET"
    values: dict = field(default_factory=dict)
    types: dict = field(default_factory=dict)

    def has(self, kind):
        """Whether there is a field of this type, such as `password`."""
        return kind in self.types.values()

    def name_of(self, *kinds):
        """The name of the first field of one of these types."""
        for name, kind in self.types.items():
            if kind in kinds:
                return name
        raise AssertionError(f"expected a field of type {' or '.join(kinds)} in the form, found {self.types}")


class _Forms(HTMLParser):
    def __init__(self):
        super().__init__()
        self.forms = []
        self._open = None
        self._select = None
        self._area = None

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form":
            self._open = Form(attrs.get("action") or "", (attrs.get("method") or "get").upper())
            self.forms.append(self._open)
        elif self._open is None:
            return
        elif tag == "input":
            self._input(attrs)
        elif tag == "textarea":
            self._area = attrs.get("name")
            self._open.values[self._area] = ""
        elif tag == "select" and attrs.get("name"):
            self._select = attrs["name"]
            self._open.types[self._select] = "select"
        elif tag == "option" and self._select and "selected" in attrs:
            self._open.values[self._select] = attrs.get("value") or ""

    def _input(self, attrs):
        name, kind = attrs.get("name"), (attrs.get("type") or "text").lower()
        if not name:
            return
        self._open.types[name] = kind
        if kind in ("submit", "image", "button", "reset"):
            return
        if kind in ("checkbox", "radio"):
            if "checked" in attrs:
                self._open.values[name] = attrs.get("value") or "on"
            return
        self._open.values[name] = attrs.get("value") or ""

    def handle_data(self, data):
        if self._area is not None:
            self._open.values[self._area] += data

    def handle_endtag(self, tag):
        if tag == "form":
            self._open = None
        elif tag == "select":
            self._select = None
        elif tag == "textarea":
            self._area = None


def forms_in(html):
    """All forms of a page."""
    parser = _Forms()
    parser.feed(html)
    return parser.forms


def form_with(html, wanted, what):
    """The first form for which `wanted(form)` holds."""
    found = forms_in(html)
    for form in found:
        if wanted(form):
            return form
    raise AssertionError(f"expected a form with {what}, found {found} in:\n{html[:2000]}")
