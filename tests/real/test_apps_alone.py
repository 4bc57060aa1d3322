"""The apps without the gateway: they do believe the header, from anybody.

If these fail, the tests behind the gateway prove nothing: a forged header that an app ignores by itself is no
evidence that the gateway removed it.
"""

import unittest

from support import calendar
from support.apps import Django, Radicale
from support.client import Client


class AnAppThatCanBeReachedDirectly(unittest.TestCase):
    def test_radicale_believes_the_header_and_its_underscore_alias(self):
        app = Radicale()
        self.addCleanup(app.stop)
        for name in ("X-Remote-User", "X_Remote_User"):
            with self.subTest(header=name):
                found = calendar.who(Client(app.port), [(name, "mallory")])
                self.assertEqual(found, "mallory", str(found))

    def test_radicale_refuses_a_caller_without_the_header(self):
        app = Radicale()
        self.addCleanup(app.stop)
        answer = Client(app.port).fetch("/alice/", "PROPFIND", {"Depth": "0"})
        self.assertIn(answer.status, (401, 403), str(answer))

    def test_django_believes_the_header_under_each_server(self):
        for server in ("gunicorn", "runserver", "wsgiref"):
            with self.subTest(server=server):
                app = Django(server)
                self.addCleanup(app.stop)
                page = Client(app.port).navigate("/admin/", {"Remote-User": "alice"}, follow=False)
                self.assertEqual(page.status, 200, str(page))
                self.assertIn("alice", page.text)

    def test_django_under_wsgiref_believes_the_underscore_alias_too(self):
        app = Django("wsgiref")
        self.addCleanup(app.stop)
        page = Client(app.port).navigate("/admin/", {"Remote_User": "alice"}, follow=False)
        self.assertEqual(page.status, 200, str(page))
