"""Cookies that do not name a session of ours: unknown, malformed, repeated."""

from .row import DOG, UNKNOWN, one, row

# A backslash, a NUL or a quote would be a question to the parser of the Cookie header, not to the session.
FORGED = (
    UNKNOWN, UNKNOWN.upper(), "12345678", "a" * 40, "a" * 31, "a" * 33, "a" * 1240, "../../etc/passwd", "-" * 32,
)


@row(each=one(*FORGED))
def an_unknown_id_is_read(scene, value):
    scene.browser(scene.forged(value)).read()


@row(each=one(*FORGED))
def an_unknown_id_is_written_to(scene, value):
    browser = scene.browser(scene.forged(value))
    browser.ask(DOG)
    browser.read()


@row(each=one(UNKNOWN, "12345678"))
def an_unknown_id_is_not_touched(scene, value):
    scene.browser(scene.forged(value)).untouched()


@row(each=one("", "1", "1234567"))
def a_short_id_is_read(scene, value):
    scene.browser(scene.forged(value)).read()


@row(each=one("", "1", "1234567"))
def a_short_id_is_written_to(scene, value):
    browser = scene.browser(scene.forged(value))
    browser.ask(DOG)
    browser.read()


@row(each=one("", "1", "1234567"))
def a_short_id_is_not_touched(scene, value):
    scene.browser(scene.forged(value)).untouched()


@row()
def fifty_forged_ids_create_nothing(scene):
    seen = {scene.browser().send([("read",)], f"sessionid={number:032}").text(scene) for number in range(50)}
    for text in seen:
        scene.note(text)


@row()
def the_id_in_quotes(scene):
    browser = scene.visitor()
    browser.twin().read(cookie=f'sessionid="{browser.holds}"')


@row()
def the_id_among_other_cookies(scene):
    browser = scene.visitor()
    browser.twin().read(cookie=f"a=1; sessionid={browser.holds}; theme=dark; xsessionid=no")


@row()
def another_name_in_other_letters(scene):
    browser = scene.visitor()
    browser.twin().read(cookie=f"SessionID={browser.holds}")


@row()
def the_cookie_twice_unknown_then_valid(scene):
    browser = scene.visitor()
    browser.twin().read(cookie=f"sessionid={UNKNOWN}; sessionid={browser.holds}")


@row()
def the_cookie_twice_valid_then_unknown(scene):
    browser = scene.visitor()
    browser.twin().read(cookie=f"sessionid={browser.holds}; sessionid={UNKNOWN}")


@row()
def the_cookie_twice_both_valid(scene):
    first, second = scene.visitor(), scene.visitor(("set", "cat", "mouse"))
    first.twin().read(cookie=f"sessionid={first.holds}; sessionid={second.holds}")


@row()
def the_cookie_twice_the_same(scene):
    browser = scene.visitor()
    browser.twin().read(cookie=f"sessionid={browser.holds}; sessionid={browser.holds}")
