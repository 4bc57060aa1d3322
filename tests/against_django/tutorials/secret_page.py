"""Sign-in, sign-out and a page for those who are signed in, all with Django's own views and decorators."""

from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView, LogoutView
from django.shortcuts import redirect, render
from django.urls import path

PAGES = {
    "front.html": """\
<h1>Shop</h1>
<p>Hello, {% if user.is_authenticated %}{{ user.username }}{% else %}stranger{% endif %}.</p>
<p>In your basket: {{ request.session.basket|join:", "|default:"nothing" }}.</p>
<form method="post" action="/basket/">{% csrf_token %}<input name="item"></form>
""",
    "login.html": """\
<h1>Sign in</h1>
<form method="post">{% csrf_token %}{{ form.non_field_errors }}
<input type="text" name="username"><input type="password" name="password">
<input type="hidden" name="next" value="{{ next }}"><input type="submit"></form>
""",
    "secret.html": """\
<h1>Secret</h1>
<p>The password of {{ user.username }} was right.</p>
<form method="post" action="/logout/">{% csrf_token %}<input type="submit" value="Sign out"></form>
""",
}


def front(request):
    return render(request, "front.html")


def basket(request):
    request.session["basket"] = [*request.session.get("basket", []), request.POST["item"]]
    return redirect("/")


@login_required
def secret(request):
    return render(request, "secret.html")


urlpatterns = [
    path("", front),
    path("basket/", basket),
    path("secret/", secret),
    path("login/", LoginView.as_view(template_name="login.html")),
    path("logout/", LogoutView.as_view(next_page="/")),
]
