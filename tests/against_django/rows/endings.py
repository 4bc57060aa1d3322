"""Emptied, ended and renewed sessions, and what an answer of 500 and above keeps of each change."""

from .row import DOG, UNKNOWN, one, row


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
