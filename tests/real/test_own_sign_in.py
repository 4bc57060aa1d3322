"""Four apps with accounts of their own behind the gateway, each with the configuration that is shipped for it.

A person signs in at the app's own page, works, signs out there; meanwhile the browser holds the gateway's cookie and
what the app's scripts must read, nothing else.
"""

import unittest

from support.own_accounts import PASSWORD
from support.own_pages import DjangoAdminPages, DokuWikiPages, JupyterPages, NodeRedPages
from support.own_sign_in import OwnSignIn


class DokuWikiBehindTheGateway(DokuWikiPages, OwnSignIn, unittest.TestCase):
    def test_when_the_wiki_forgets_the_person_so_does_the_gateway(self):
        self.is_forgotten_by_the_gateway_when_by_the_app("#dw__login")

    def test_a_stranger_sees_no_page_whatever_the_form_asks_for(self):
        raw = "do=export_raw&id=start"
        for query, body in (("?id=start", "do=show"), ("?id=start", raw), ("?do=login", "do=show")):
            with self.subTest(query=query, body=body):
                form = {"Content-Type": "application/x-www-form-urlencoded"}
                answer = self.gateway.client().fetch(f"/doku.php{query}", "POST", form, body)
                self.assertEqual(answer.status, 401, str(answer))


class DjangoAdminBehindTheGateway(DjangoAdminPages, OwnSignIn, unittest.TestCase):
    def test_when_django_forgets_the_person_so_does_the_gateway(self):
        self.is_forgotten_by_the_gateway_when_by_the_app("#id_password")


class JupyterBehindTheGateway(JupyterPages, OwnSignIn, unittest.TestCase):
    """What holds for every app."""


class NodeRedBehindTheGateway(NodeRedPages, OwnSignIn, unittest.TestCase):
    def test_when_its_token_has_run_out_the_gateway_forgets_the_person(self):
        self.sign_in(PASSWORD)
        self.eventually_me(self.user)
        self.is_in()
        self.headers = {"Authorization": f"Bearer {self.held_token}"}
        held = self.jar()
        answer = self.gateway.client(held).fetch(self.protected, headers=self.headers)
        self.assertEqual(answer.status, 200, str(answer))
        self.running.forget_everybody()
        self.assertFalse(self.running.accepts_token(self.held_token))
        # Perhaps the editor has tried its token once more already.
        self.browser.open(self.gateway.url + "/")
        self.shown("#node-dialog-login-username")
        self.eventually_me(None)
        self.is_asked_to_sign_in(self.gateway.client(held))
        self.sign_in(PASSWORD)
        self.eventually_me(self.user)
