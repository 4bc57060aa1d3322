"""SESSION_SAVE_EVERY_REQUEST: what is renewed, and what must not be begun."""

from .row import DOG, UNKNOWN, one, row

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
