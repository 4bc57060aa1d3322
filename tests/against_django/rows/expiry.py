"""Every form of `set_expiry`, seen in the lifetime of the cookie."""

from datetime import datetime, timedelta, timezone

from .row import DOG, one, row


@row(each=one(10, 3600, 1209600, 2592000, "browser", "default"))
def expiry_with_a_write(scene, expiry):
    browser = scene.browser()
    browser.ask(DOG, ("expiry", expiry))
    browser.read()


@row()
def expiry_at_a_time_with_a_write(scene):
    browser = scene.browser()
    browser.ask(DOG, ("expiry", in_an_hour()))
    browser.read()
    browser.ask(("set", "bird", "tit"))


@row(each=one(10, "browser", "default"))
def expiry_alone(scene, expiry):
    browser = scene.visitor()
    browser.ask(("expiry", expiry))
    browser.read()


@row(each=one(10, "browser", "default"))
def expiry_without_a_session(scene, expiry):
    browser = scene.browser()
    browser.ask(("expiry", expiry))
    browser.read()


@row(each=one(10, "browser"))
def a_later_write_keeps_the_expiry(scene, expiry):
    browser = scene.visitor(DOG, ("expiry", expiry))
    browser.ask(("set", "bird", "tit"))


@row(each=one(10, "browser"))
def default_takes_back_the_expiry(scene, expiry):
    browser = scene.visitor(DOG, ("expiry", expiry))
    browser.ask(("expiry", "default"))
    browser.ask(("set", "bird", "tit"))


@row()
def a_time_in_the_past_ends_the_session(scene):
    browser = scene.visitor()
    old = browser.twin()
    browser.ask(("expiry", "2020-01-01T00:00:00Z"))
    browser.read()
    old.read()


@row()
def expiry_with_500(scene):
    browser = scene.visitor()
    browser.ask(("expiry", 10), ("status", 500))
    browser.ask(("set", "bird", "tit"))


@row()
def clear_forgets_the_expiry(scene):
    browser = scene.visitor(DOG, ("expiry", 3600))
    browser.ask(("clear",))
    browser.ask(DOG)


@row()
def flush_forgets_the_expiry(scene):
    browser = scene.visitor(DOG, ("expiry", 3600))
    browser.ask(("flush",), DOG)


@row(each=one(3600, "browser"))
def rotate_keeps_the_expiry(scene, expiry):
    browser = scene.visitor(DOG, ("expiry", expiry))
    browser.ask(("rotate",))


@row("browser close", each=one(10, "browser", "default"))
def expiry_when_all_cookies_end_with_the_browser(scene, expiry):
    browser = scene.browser()
    browser.ask(DOG, ("expiry", expiry))
    browser.ask(("set", "bird", "tit"))
    browser.read()


@row("browser close")
def an_ordinary_write(scene):
    browser = scene.browser()
    browser.ask(DOG)
    browser.read()
    browser.ask(("flush",))


def in_an_hour():
    return (datetime.now(timezone.utc) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
