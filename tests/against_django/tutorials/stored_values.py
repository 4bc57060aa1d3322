"""Sets, shows and deletes values; the test cookie, nested values, flash messages and expiry beside them."""

from datetime import timedelta

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import path

PAGES = {
    "values.html": """\
<h1>Values</h1>
{% for message in messages %}<p>{{ message.tags }}: {{ message }}</p>{% endfor %}
<ul>{% for key, value in values %}<li>{{ key }} = {{ value }}</li>{% endfor %}</ul>
<form method="post" action="/set/">{% csrf_token %}<input name="key"><input name="value"></form>
<form method="post" action="/delete/">{% csrf_token %}<input name="forget"></form>
""",
}
# What Django keeps in a session for itself.
OWN = ("_session_expiry", "_messages")


def show(request):
    values = sorted((key, value) for key, value in request.session.items() if key not in OWN)
    return render(request, "values.html", {"values": values})


def set_value(request):
    request.session[request.POST["key"]] = request.POST["value"]
    messages.success(request, f"{request.POST['key']} is set")
    return redirect("/")


def delete_value(request):
    try:
        del request.session[request.POST["forget"]]
    except KeyError:
        messages.error(request, "there was no such key")
    return redirect("/")


def add_to_cart(request, item):
    cart = request.session.setdefault("cart", {"items": {}, "currency": "EUR"})
    cart["items"][item] = cart["items"].get(item, 0) + 1
    request.session.modified = True
    return redirect("/")


def remove_from_cart(request, item):
    del request.session["cart"]["items"][item]
    request.session.modified = True
    return redirect("/")


def forgotten_modified(request):
    """The mistake of every beginner: Django does not see a change deep inside."""
    request.session["cart"]["currency"] = "USD"
    return redirect("/")


def replace_cart(request):
    request.session["cart"] = {"items": {"gift": 1}}
    return redirect("/")


def set_test_cookie(request):
    request.session.set_test_cookie()
    return redirect("/cookies/verdict/")


def verdict(request):
    if not request.session.test_cookie_worked():
        return HttpResponse("Please enable cookies.")
    request.session.delete_test_cookie()
    return HttpResponse("Cookies work.")


def clear(request):
    request.session.clear()
    return redirect("/")


def start_over(request):
    request.session.flush()
    request.session["fresh"] = True
    return redirect("/")


def end(request):
    request.session.flush()
    return redirect("/")


def renew(request):
    request.session.cycle_key()
    return redirect("/")


def keep(request, how):
    """Every form of `set_expiry`."""
    forms = {"seconds": 600, "browser": 0, "default": None, "delta": timedelta(hours=2)}
    request.session.set_expiry(forms[how])
    return redirect("/")


urlpatterns = [
    path("", show),
    path("set/", set_value),
    path("delete/", delete_value),
    path("cart/add/<item>/", add_to_cart),
    path("cart/remove/<item>/", remove_from_cart),
    path("cart/forgotten/", forgotten_modified),
    path("cart/replace/", replace_cart),
    path("cookies/", set_test_cookie),
    path("cookies/verdict/", verdict),
    path("clear/", clear),
    path("start-over/", start_over),
    path("end/", end),
    path("renew/", renew),
    path("keep/<how>/", keep),
]
