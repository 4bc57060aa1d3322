"""The rows: each is a short scene that is played on Django and on Cloakroom; its name says what it shows.

A row asserts nothing by itself: what it records must be equal in both columns, or be listed in `differences`.
"""

from datetime import datetime, timedelta, timezone

ROWS = []
DOG = ("set", "cat", "dog")
UNKNOWN = "0123456789abcdefghijklmnopqrstuv"


class Row:
    """A scene with a name and the settings it needs of both servers."""

    def __init__(self, play, settings, arguments):
        self.settings = settings
        self._play = play
        self._arguments = arguments
        words = [play.__name__.replace("_", " "), *map(label, arguments)]
        self.name = " ".join(words) + (f" ({settings})" if settings else "")

    def play(self, scene):
        """What the browsers of this scene saw, line by line."""
        self._play(scene, *self._arguments)
        return scene.steps


def label(argument):
    """An argument as part of a row's name: short, and visible whatever it holds."""
    text = str(argument)
    if not text.isascii() or not text.isprintable() or text.strip() != text or not text:
        text = ascii(argument)
    return text if len(text) <= 40 else f"{text[:5]}... of {len(text)} letters"


def row(settings="", each=((),)):
    """Makes a function a row, or one row for each tuple of arguments."""

    def add(play):
        ROWS.extend(Row(play, settings, arguments) for arguments in each)
        return play

    return add


def one(*values):
    """Each value as the only argument of a row."""
    return [(value,) for value in values]


def in_an_hour():
    return (datetime.now(timezone.utc) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- no session, reading, writing ---


@row()
def nothing_touched_without_a_cookie(scene):
    scene.browser().untouched()


@row()
def read_without_a_cookie(scene):
    scene.browser().read()


@row(each=one(200, 201, 302, 404, 499))
def a_write_answered_with(scene, status):
    browser = scene.browser()
    browser.ask(DOG, ("status", status))
    browser.read()


@row()
def a_session_that_is_not_touched(scene):
    scene.visitor().untouched()


@row()
def a_session_that_is_read(scene):
    scene.visitor().read()


@row()
def a_session_that_is_written_again(scene):
    browser = scene.visitor()
    browser.ask(("set", "bird", "tit"))
    browser.read()


@row()
def the_same_value_is_written_again(scene):
    scene.visitor().ask(DOG)


@row()
def one_key_is_overwritten_the_others_stay(scene):
    browser = scene.visitor(DOG, ("set", "n", 1))
    browser.ask(("set", "cat", "mouse"))
    browser.read()


@row()
def a_key_is_deleted_the_others_stay(scene):
    browser = scene.visitor(DOG, ("set", "n", 1))
    browser.ask(("unset", "n"))
    browser.read()


@row()
def a_key_that_is_not_there_is_deleted(scene):
    browser = scene.visitor()
    browser.ask(("unset", "nobody"))
    browser.read()


@row()
def a_key_is_deleted_without_a_session(scene):
    scene.browser().ask(("unset", "nobody"))


@row()
def a_counter_is_incremented(scene):
    browser = scene.browser()
    for _ in range(3):
        browser.ask(("read",), ("increment", "visits", 1))
    browser.ask(("increment", "visits", -5))
    browser.read()


@row()
def an_increment_and_a_write_in_one_answer(scene):
    browser = scene.visitor(("set", "n", 40))
    browser.ask(DOG, ("increment", "n", 2))
    browser.read()


@row()
def two_browsers_never_see_each_other(scene):
    first, second = scene.visitor(), scene.visitor(("set", "cat", "mouse"))
    first.read()
    second.read()
    scene.browser().read()


# --- values ---


@row(each=one(
    "", "plain", "ä é ß", "日本語", "a 🐈 and a 🐕", "\x00\x01\n\t\x7f", '"quotes", \\ and /', 0, -1, 1.5, 1e300,
    2**53, 2**63 - 1, True, False, [], [1, [2, [3, None]]], {}, {"a": {"b": {"c": [{}]}}}, "x" * 4000,
))
def a_value_comes_back(scene, value):
    browser = scene.visitor(("set", "value", value))
    browser.read()


@row(each=one("", " ", "Ünïcode 🐈", "with.dots and/slashes", "0", "__proto__"))
def a_key_comes_back(scene, key):
    browser = scene.visitor(("set", key, 1))
    browser.read()
    browser.ask(("unset", key))
    browser.read()


@row()
def null_as_a_value(scene):
    browser = scene.visitor()
    browser.ask(("set", "nothing", None))
    browser.read()


@row()
def an_object_in_place_of_an_object(scene):
    browser = scene.visitor(("set", "cart", {"apples": 1}))
    browser.ask(("set", "cart", {"pears": 2}))
    browser.read()


# --- emptying, ending, renewing ---


@row()
def the_last_key_is_deleted(scene):
    browser = scene.visitor()
    browser.ask(("unset", "cat"))
    browser.read()
    browser.ask(DOG)


@row()
def clear_keeps_the_id(scene):
    browser = scene.visitor()
    browser.ask(("clear",))
    browser.read()


@row()
def clear_then_write(scene):
    browser = scene.visitor()
    browser.ask(("clear",), ("set", "bird", "tit"))
    browser.read()


@row()
def flush_deletes_the_cookie(scene):
    browser = scene.visitor()
    browser.ask(("flush",))
    browser.read()


@row()
def the_id_of_a_flushed_session_is_dead(scene):
    browser = scene.visitor()
    other_tab = browser.twin()
    browser.ask(("flush",))
    other_tab.read()


@row()
def a_write_with_the_id_of_a_flushed_session(scene):
    browser = scene.visitor()
    other_tab = browser.twin()
    browser.ask(("flush",))
    scene.forged(other_tab.holds)
    other_tab.ask(("set", "bird", "tit"))
    other_tab.read()


@row()
def flush_then_write(scene):
    browser = scene.visitor()
    scene.call(browser.holds)
    old = browser.twin()
    browser.ask(("flush",), ("set", "bird", "tit"))
    browser.read()
    old.read()


@row(each=one("clear", "flush", "logout"))
def without_a_session(scene, operation):
    scene.browser().ask((operation,))


@row()
def rotate_without_a_session(scene):
    browser = scene.browser()
    browser.ask(("rotate",))
    browser.read()


@row()
def rotate_changes_the_id_and_keeps_the_data(scene):
    browser = scene.visitor()
    scene.call(browser.holds)
    browser.ask(("rotate",))
    browser.read()


@row()
def rotate_and_write(scene):
    browser = scene.visitor()
    scene.call(browser.holds)
    browser.ask(("rotate",), ("set", "bird", "tit"))
    browser.read()


@row()
def a_request_that_still_carries_the_id_from_before_a_rotation(scene):
    browser = scene.visitor()
    scene.call(browser.holds)
    old = browser.twin()
    browser.ask(("rotate",))
    old.read()


# --- answers of 500 and above ---


@row(each=one(500, 501, 502, 503, 504, 599))
def a_write_with(scene, status):
    browser = scene.browser()
    browser.ask(DOG, ("status", status))
    browser.read()


@row(each=one(500, 503))
def a_write_to_a_session_with(scene, status):
    browser = scene.visitor()
    browser.ask(("set", "bird", "tit"), ("unset", "cat"), ("status", status))
    browser.read()


@row()
def a_write_and_a_view_that_fails(scene):
    browser = scene.visitor()
    browser.ask(("set", "bird", "tit"), ("fail",))
    browser.read()


@row()
def clear_with_500(scene):
    browser = scene.visitor()
    browser.ask(("clear",), ("status", 500))
    browser.read()


@row()
def flush_with_500(scene):
    browser = scene.visitor()
    old = browser.twin()
    browser.ask(("flush",), ("status", 500))
    browser.read()
    old.read()


@row()
def flush_and_write_with_500(scene):
    browser = scene.visitor()
    old = browser.twin()
    browser.ask(("flush",), ("set", "bird", "tit"), ("status", 500))
    browser.read()
    old.read()


@row()
def rotate_with_500(scene):
    browser = scene.visitor()
    browser.ask(("rotate",), ("status", 500))
    browser.read()


@row()
def an_unknown_id_is_read_with_500(scene):
    scene.browser(scene.forged(UNKNOWN)).ask(("read",), ("status", 500))


# --- ids that are not ours ---

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


# --- expiry ---


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


# --- sign-in and sign-out ---


@row()
def login_without_a_session(scene):
    browser = scene.browser()
    browser.ask(("login", "ann"))
    browser.read()


@row()
def login_keeps_what_the_anonymous_session_had(scene):
    browser = scene.visitor()
    scene.call(browser.holds)
    browser.ask(("login", "ann"))
    browser.read()


@row()
def login_and_a_write(scene):
    browser = scene.visitor()
    scene.call(browser.holds)
    browser.ask(("login", "ann"), ("set", "bird", "tit"))
    browser.read()


@row()
def login_of_another_user_flushes(scene):
    browser = scene.visitor(DOG, ("login", "ann"))
    scene.call(browser.holds)
    browser.ask(("login", "bob"))
    browser.read()


@row()
def login_of_the_same_user_keeps_the_data(scene):
    browser = scene.visitor(DOG, ("login", "ann"))
    scene.call(browser.holds)
    browser.ask(("login", "ann"))
    browser.read()


@row()
def logout_ends_the_session(scene):
    browser = scene.visitor(DOG, ("login", "ann"))
    old = browser.twin()
    browser.ask(("logout",))
    browser.read()
    old.read()


@row()
def logout_with_500(scene):
    browser = scene.visitor(DOG, ("login", "ann"))
    old = browser.twin()
    browser.ask(("logout",), ("status", 500))
    old.read()


@row()
def login_with_500(scene):
    browser = scene.visitor()
    browser.ask(("login", "ann"), ("status", 500))
    browser.read()


@row()
def clear_of_a_signed_in_session(scene):
    browser = scene.visitor(DOG, ("login", "ann"))
    browser.ask(("clear",))
    browser.read()


@row()
def the_id_from_before_a_login(scene):
    browser = scene.visitor()
    old = browser.twin()
    browser.send([("login", "ann")])
    old.read()


@row()
def an_answer_to_the_old_id_that_arrives_after_the_login(scene):
    browser = scene.visitor()
    old = browser.twin()
    browser.send([("login", "ann")])
    scene.call(browser.holds)
    late = old.send([("read",)])
    if any(ticket.deleted for ticket in late.tickets):
        browser.holds = None
    browser.read()


# --- caches ---


@row(each=one("Accept-Language", "cookie", "Accept-Encoding, COOKIE", "*", "Accept, *"))
def what_the_app_varies_on_already(scene, vary):
    scene.browser().ask(DOG, ("header", "Vary", vary))


@row()
def cache_control_of_an_answer_with_a_cookie(scene):
    answer = scene.browser().ask(DOG, ("header", "Cache-Control", "public, max-age=60"))
    scene.note(f"Cache-Control: {answer.header('cache-control')}")


@row()
def cache_control_of_an_answer_without_a_cookie(scene):
    answer = scene.browser().untouched(("header", "Cache-Control", "public, max-age=60"))
    scene.note(f"Cache-Control: {answer.header('cache-control')}")


# --- the form of the cookie ---


def form_of(answer):
    attributes = answer.tickets[0].attributes
    shown = {**attributes, "expires": "(a date)"} if "expires" in attributes else attributes
    return "; ".join(sorted(f"{name}={value}" if value else name for name, value in shown.items()))


@row()
def attributes_of_a_new_cookie(scene):
    scene.note(form_of(scene.browser().ask(DOG)))


@row("strict")
def attributes_as_configured(scene):
    browser = scene.browser()
    scene.note(form_of(browser.ask(DOG)))
    scene.note(form_of(browser.ask(("flush",))))


@row()
def attributes_of_a_cookie_until_browser_close(scene):
    scene.note(form_of(scene.browser().ask(DOG, ("expiry", "browser"))))


@row()
def attributes_of_a_deleted_cookie(scene):
    scene.note(form_of(scene.visitor().ask(("flush",))))


@row()
def form_of_an_id(scene):
    value = scene.visitor().holds
    scene.note(f"{len(value)} characters, all of a-z and 0-9: {value.isascii() and value.isalnum() and value.islower()}")


# --- save every request ---

EVERY = "save every request"


@row(EVERY)
def nothing_touched_without_any_cookie(scene):
    scene.browser().untouched()
    scene.browser().read()


@row(EVERY)
def an_untouched_session_is_renewed(scene):
    browser = scene.visitor()
    browser.untouched()
    browser.read()


@row(EVERY, each=one(404, 500, 503))
def an_untouched_session_with(scene, status):
    scene.visitor().untouched(("status", status))


@row(EVERY)
def an_untouched_session_in_an_answer_for_all_caches(scene):
    scene.visitor().untouched(("header", "Cache-Control", "public"))


@row(EVERY)
def an_untouched_session_keeps_its_own_expiry(scene):
    scene.visitor(DOG, ("expiry", 3600)).untouched()
    scene.visitor(DOG, ("expiry", "browser")).untouched()


@row(EVERY)
def an_unknown_id_untouched(scene):
    scene.browser(scene.forged(UNKNOWN)).untouched()


@row(EVERY)
def an_unknown_id_read(scene):
    scene.browser(scene.forged(UNKNOWN)).read()


@row(EVERY)
def a_short_id_untouched(scene):
    scene.browser(scene.forged("1234567")).untouched()


@row(EVERY)
def flush_is_still_the_end(scene):
    browser = scene.visitor()
    browser.ask(("flush",))
    browser.read()


@row(EVERY)
def a_slow_reader_beside_a_writer(scene):
    browser = scene.visitor()
    loaded, written = scene.place(), scene.place()

    def slow():
        browser.twin().send([("read",), ("meet", loaded, 2), ("meet", written, 2)])

    def fast():
        scene.browser().send([("meet", loaded, 2)])
        browser.twin().send([("set", "bird", "tit")])
        scene.browser().send([("meet", written, 2)])

    scene.at_once(slow, fast)
    browser.read()


# --- requests in parallel; each has its session loaded before any of them answers ---


def four(scene, browser, operation_of):
    """Four requests of one session that meet between reading and answering."""
    place = scene.place()
    asks = [[("read",), ("meet", place, 4), operation_of(number)] for number in range(4)]
    scene.at_once(*[lambda ask=ask: browser.twin().send(ask) for ask in asks])


@row()
def four_writers_in_parallel(scene):
    browser = scene.visitor()
    four(scene, browser, lambda number: ("set", f"writer {number}", True))
    data = browser.send([("read",)]).seen["data"]
    scene.note(f"{sum(key.startswith('writer') for key in data)} of 4 survive")


@row()
def four_increments_in_parallel(scene):
    browser = scene.visitor()
    four(scene, browser, lambda _: ("increment", "n", 1))
    browser.read()


def late_write(scene, browser, meanwhile):
    """A write whose session is loaded before, and answered after, something else happens to the session."""
    loaded, done = scene.place(), scene.place()
    late = browser.twin()

    def slow():
        late.ask(("read",), ("meet", loaded, 2), ("set", "late", True), ("meet", done, 2))

    def fast():
        scene.browser().send([("meet", loaded, 2)])
        browser.send([(meanwhile,)])
        scene.browser().send([("meet", done, 2)])

    scene.at_once(slow, fast)
    return late


@row()
def a_write_while_another_request_flushes(scene):
    browser = scene.visitor()
    old = browser.twin()
    late_write(scene, browser, "flush")
    old.read()


@row()
def a_write_while_another_request_rotates(scene):
    browser = scene.visitor()
    scene.call(browser.holds)
    late_write(scene, browser, "rotate")
    browser.read()
