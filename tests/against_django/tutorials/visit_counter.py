"""The visit counter of every introduction to sessions: says how often this browser was here."""

from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import path

PAGES = {}


def index(request):
    visits = request.session.get("visits", 0) + 1
    request.session["visits"] = visits
    if visits == 1:
        return HttpResponse("Welcome! This is your first visit.")
    return HttpResponse(f"Welcome back! You were here {visits} times.")


def look(request):
    """Reads without writing."""
    return HttpResponse(f"Visits so far: {request.session.get('visits', 'none')}.")


def about(request):
    """Does not know of sessions."""
    return HttpResponse("We count visits.")


def broken(request):
    request.session["visits"] = 1000
    raise RuntimeError("a bug in the program")


def forget(request):
    del request.session["visits"]
    return redirect("/look/")


urlpatterns = [
    path("", index),
    path("look/", look),
    path("about/", about),
    path("broken/", broken),
    path("forget/", forget),
]
