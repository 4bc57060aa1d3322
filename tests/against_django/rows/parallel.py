"""Requests in parallel: each has its session loaded before any of them answers."""

from .row import one, row


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
