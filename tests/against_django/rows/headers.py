"""What caches are told, and the form of the cookie."""

from .row import DOG, one, row


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
    alphabet = set("abcdefghijklmnopqrstuvwxyz0123456789")
    scene.note(f"{len(value)} characters, all of a-z and 0-9: {alphabet.issuperset(value)}")
