"""Four apps with accounts of their own behind the gateway, each with the configuration that is shipped for it.

A person signs in at the app's own page, works, signs out there; meanwhile the browser holds the gateway's cookie and
what the app's scripts must read, nothing else.
"""

import json
import unittest

from selenium.webdriver.common.keys import Keys

from support.own_accounts import PASSWORD, USER, DjangoAdmin, DokuWiki, Jupyter, NodeRed
from support.own_sign_in import OwnSignIn


class DokuWikiBehindTheGateway(OwnSignIn, unittest.TestCase):
    app, example, variable = DokuWiki, "dokuwiki", "DOKUWIKI"
    protected, exposed = "/doku.php?id=start", {"DOKU_PREFS"}

    def sign_in(self, password):
        self.browser.open(self.gateway.url + "/doku.php?id=start")
        self.type_into("#dw__login [name=u]", USER)
        self.type_into("#dw__login [name=p]", password)
        self.browser.click(self.browser.one("#dw__login button[type=submit]"))

    def was_refused(self):
        self.shown("#dw__login")
        self.shown(".error")

    def work(self):
        self.browser.open(self.gateway.url + "/doku.php?id=start&do=edit")
        self.type_into("#wiki__text", "Milk, eggs and **a coat**")
        self.browser.click(self.browser.one("#edbtn__save"))
        self.assertIn("Milk, eggs and a coat", self.browser.text())

    def sign_out(self):
        self.browser.click(self.shown("a[href*='do=logout']"))

    def test_a_stranger_sees_no_page_whatever_the_form_asks_for(self):
        raw = "do=export_raw&id=start"
        for query, body in (("?id=start", "do=show"), ("?id=start", raw), ("?do=login", "do=show")):
            with self.subTest(query=query, body=body):
                form = {"Content-Type": "application/x-www-form-urlencoded"}
                answer = self.gateway.client().fetch(f"/doku.php{query}", "POST", form, body)
                self.assertEqual(answer.status, 401, str(answer))


class DjangoAdminBehindTheGateway(OwnSignIn, unittest.TestCase):
    app, example, variable = DjangoAdmin, "django-admin", "DJANGO"
    protected = "/admin/auth/user/"

    def sign_in(self, password):
        self.browser.open(self.gateway.url + "/admin/auth/user/")
        self.browser.fill_in(USER, password)

    def was_refused(self):
        self.shown(".errornote")

    def work(self):
        self.assertTrue(self.browser.driver.current_url.endswith("/admin/auth/user/"), self.browser.page())
        self.browser.open(self.gateway.url + "/admin/auth/user/add/")
        self.type_into("#id_username", "carol")
        for field in ("#id_password1", "#id_password2"):
            self.type_into(field, "under the mossy staple")
        self.browser.click(self.browser.one("[name=_save]"))
        self.browser.open(self.gateway.url + "/admin/auth/user/")
        self.assertIn("carol", self.browser.text())

    def sign_out(self):
        self.browser.click(self.shown("#logout-form button"))

    def test_when_django_forgets_the_person_so_does_the_gateway(self):
        self.sign_in(PASSWORD)
        self.eventually_me(USER)
        held = self.jar()
        self.running.forget_everybody()
        self.browser.open(self.gateway.url + self.protected)
        self.shown("#id_password")
        self.eventually_me(None)
        self.is_asked_to_sign_in(self.gateway.client(held))


class JupyterBehindTheGateway(OwnSignIn, unittest.TestCase):
    app, example, variable = Jupyter, "jupyter", "JUPYTER"
    protected, exposed, user = "/api/contents", {"_xsrf"}, "jupyter"

    def sign_in(self, password):
        self.browser.open(self.gateway.url + "/notebooks/sum.ipynb")
        self.type_into("#password_input", password)
        self.browser.click(self.browser.one("#login_submit"))

    def was_refused(self):
        self.shown(".message.error")

    def work(self):
        driver = self.browser.driver
        connected = "return !!(window.Jupyter && Jupyter.notebook && Jupyter.notebook.kernel" \
                    " && Jupyter.notebook.kernel.is_connected())"
        self.browser.wait(lambda _: driver.execute_script(connected), "the kernel is connected by a WebSocket")
        self.shown(".code_cell .CodeMirror").click()
        driver.switch_to.active_element.send_keys(Keys.SHIFT, Keys.ENTER)
        self.browser.wait(lambda _: "42" in self.shown(".output_text").text, "the cell says 42")

    def sign_out(self):
        self.browser.open(self.gateway.url + "/logout")


class NodeRedBehindTheGateway(OwnSignIn, unittest.TestCase):
    app, example, variable = NodeRed, "node-red", "NODE_RED"
    protected = "/settings"

    # An inject node that fires at once, and a debug node that shows it in the sidebar, told by the WebSocket.
    FLOW = [
        {"id": "a1", "type": "tab", "label": "Coats"},
        {"id": "a2", "type": "inject", "z": "a1", "name": "bell", "props": [{"p": "payload"}],
         "payload": "a coat is here", "payloadType": "str", "repeat": "", "crontab": "", "once": True,
         "onceDelay": 0.1, "topic": "", "x": 150, "y": 100, "wires": [["a3"]]},
        {"id": "a3", "type": "debug", "z": "a1", "active": True, "tosidebar": True, "complete": "payload",
         "targetType": "msg", "x": 350, "y": 100, "wires": []},
    ]

    def sign_in(self, password):
        self.browser.open(self.gateway.url + "/")
        self.type_into("#node-dialog-login-username", USER)
        self.type_into("#node-dialog-login-password", password + Keys.ENTER)

    def was_refused(self):
        self.shown("#node-dialog-login-failed, .ui-dialog .error")

    def token(self):
        kept = self.browser.driver.execute_script("return JSON.stringify(Object.entries(localStorage))")
        texts = [value for _, value in json.loads(kept) if "access_token" in value]
        return json.loads(texts[0])["access_token"] if texts else None

    def work(self):
        driver = self.browser.driver
        self.shown("#red-ui-header-button-deploy")
        driver.execute_script("RED.actions.invoke('core:show-import-dialog')")
        self.type_into("#red-ui-clipboard-dialog-import-text", json.dumps(self.FLOW))
        self.shown("#red-ui-clipboard-dialog-ok").click()
        driver.execute_script("RED.sidebar.show('debug')")
        self.shown("#red-ui-header-button-deploy:not(.disabled)").click()
        shown = ".red-ui-debug-msg-payload"
        self.browser.wait(lambda _: "a coat is here" in self.shown(shown).text, "the debug sidebar shows what was sent")
        self.held_token = self.token()
        self.assertTrue(self.running.accepts_token(self.held_token))
        self.headers = {"Authorization": f"Bearer {self.held_token}"}
        # A token without a session opens nothing.
        self.is_asked_to_sign_in(self.gateway.client())

    def sign_out(self):
        self.browser.wait(lambda _: not self.visible("#red-ui-full-shade"), "the deployment is over")
        self.shown("#red-ui-header-button-user").click()
        self.shown("#usermenu-item-logout").click()
        self.browser.wait(lambda _: not self.running.accepts_token(self.held_token), "Node-RED forgets the token")
