"""What is written is there afterwards, and only for the browser it belongs to."""

from .row import DOG, one, row


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


@row(each=one(
    "", "plain", "ä é ß", "日本語", "a 🐈 and a 🐕", "\x00\x01\n\t\x7f", '"quotes", \\ and /',
    0, -1, 1.5, 1e300, 2**53, 2**63 - 1, True, False, [], [1, [2, [3, None]]], {}, {"a": {"b": {"c": [{}]}}},
    "x" * 4000,
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
