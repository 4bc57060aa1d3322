"""Sign-in and sign-out by the app: whose data is kept, and which id works afterwards."""

from .row import DOG, row


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
