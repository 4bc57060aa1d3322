"""`request.session` of Django, kept in Cloakroom: no table, no SESSION_* settings, no cookie of Django's own.

The route needs `session_headers: read_write`, and the app must be reachable through Cloakroom only, for it believes
the headers. In settings.py write "cloakroom_sessions.CloakroomSessionMiddleware" into MIDDLEWARE, in place of
"django.contrib.sessions.middleware.SessionMiddleware". Values are what JSON can hold, and None only within lists.
"""

import copy
import json
from datetime import datetime, timedelta

from django.contrib.sessions.backends.base import SessionBase
from django.utils import timezone


class CloakroomSessionMiddleware:
    """Reads the session from the request, answers with what the view did to it."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        request.session = CloakroomSession(request.headers)
        response = self.get_response(request)
        for name, value in request.session.changes().items():
            response[name] = value
        return response


class SessionTooLarge(Exception):
    """The session holds more than Cloakroom can hand to an app."""


class CloakroomSession(SessionBase):
    """One visit's session: every change becomes a header, and Cloakroom stores, rotates and sets the cookie."""

    def __init__(self, headers):
        super().__init__(headers.get("Session-Handle"))  # names the session, but opens nothing
        self._before = json.loads(headers.get("Session-Data") or "{}")
        self._omitted = "Session-Data-Omitted" in headers
        self._expires_in = int(headers.get("Session-Expires-In") or 0)
        self._orders = {}

    def load(self):
        if self._omitted:
            raise SessionTooLarge("more than fits into a header (8 KiB): keep it in a database, and its key here")
        return copy.deepcopy(self._before)

    def clear(self):
        super().clear()
        self._before = {}
        self._orders.pop("Session-Expiry", None)
        self._orders["Session-Clear"] = "true"

    def flush(self):
        super().clear()
        self._before = {}
        self._session_key = None
        self._orders = {"Session-Flush": "true"}

    def cycle_key(self):
        self._orders["Session-Rotate"] = "true"

    def set_expiry(self, value):
        if isinstance(value, timedelta):
            value = timezone.now() + value
        if isinstance(value, datetime):
            value = value.astimezone().isoformat(timespec="seconds")
        self._orders["Session-Expiry"] = {None: "default", 0: "browser"}.get(value, str(value))

    def get_expiry_age(self, **_):
        return self._expires_in  # what truly remains, where Django's own engines name the policy

    def changes(self):
        """The headers that make Cloakroom do what the view did."""
        patch = merge_patch(self._before, self._session) if self.modified else {}
        return {**self._orders, **({"Session-Set": json.dumps(patch)} if patch else {})}

    # Storing is Cloakroom's part.
    def exists(self, session_key):
        return False

    def create(self):
        self.modified = True

    def save(self, must_create=False):
        self.modified = True

    def delete(self, session_key=None):
        self.flush()


def merge_patch(before, after):
    """What makes `after` of `before` (RFC 7396)."""
    patch = dict.fromkeys(before.keys() - after.keys())
    for key, value in after.items():
        if isinstance(value, dict) and isinstance(before.get(key), dict):
            nested = merge_patch(before[key], value)
            patch.update({key: nested} if nested else {})
        elif key not in before or json.dumps(before[key]) != json.dumps(value):
            patch[key] = value
    return patch
