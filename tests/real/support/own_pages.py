"""How people sign in, work and sign out at the pages of four apps, for the tests that look on.

Each class says so for one app, and belongs before `Visits` in the bases of a `TestCase` that has a `gateway` and the
`running` app. `example` and `variable`: the shipped configuration, and what names the app in it; `protected`: a path
that a script may ask for when signed in; `exposed`: cookies that may lie in the browser.
"""

import json

from selenium.webdriver.common.keys import Keys

from .own_accounts import USER, DjangoAdmin, DokuWiki, Jupyter, NodeRed


class DokuWikiPages:
    """Its sign-in stands on every page that a stranger opens."""

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

    def is_in(self):
        self.shown("a[href*='do=logout']")

    def work(self):
        self.browser.open(self.gateway.url + "/doku.php?id=start&do=edit")
        self.type_into("#wiki__text", "Milk, eggs and **a coat**")
        self.browser.click(self.browser.one("#edbtn__save"))
        self.assertIn("Milk, eggs and a coat", self.browser.text())

    def sign_out(self):
        self.browser.click(self.shown("a[href*='do=logout']"))


class DjangoAdminPages:
    """A sign-in page, to which strangers are sent."""

    app, example, variable = DjangoAdmin, "django-admin", "DJANGO"
    protected = "/admin/auth/user/"

    def sign_in(self, password):
        self.browser.open(self.gateway.url + "/admin/auth/user/")
        self.browser.fill_in(USER, password)

    def was_refused(self):
        self.shown(".errornote")

    def is_in(self):
        self.shown("#logout-form button")

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


class JupyterPages:
    """A password and no name; work goes by a WebSocket."""

    app, example, variable = Jupyter, "jupyter", "JUPYTER"
    protected, exposed, user = "/api/contents", {"_xsrf"}, "jupyter"
    opened = "/notebooks/sum.ipynb"

    def sign_in(self, password):
        self.browser.open(self.gateway.url + self.opened)
        self.type_into("#password_input", password)
        self.browser.click(self.browser.one("#login_submit"))

    def was_refused(self):
        self.shown(".message.error")

    def is_in(self):
        self.shown(".code_cell")

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


class NodeRedPages:
    """A dialogue drawn by a script, which keeps a token and sends it itself."""

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

    def is_in(self):
        self.shown("#red-ui-header-button-deploy")
        self.held_token = self.token()

    def token(self):
        kept = self.browser.driver.execute_script("return JSON.stringify(Object.entries(localStorage))")
        texts = [value for _, value in json.loads(kept) if "access_token" in value]
        return json.loads(texts[0])["access_token"] if texts else None

    def work(self):
        driver = self.browser.driver
        self.is_in()
        driver.execute_script("RED.actions.invoke('core:show-import-dialog')")
        self.type_into("#red-ui-clipboard-dialog-import-text", json.dumps(self.FLOW))
        self.shown("#red-ui-clipboard-dialog-ok").click()
        driver.execute_script("RED.sidebar.show('debug')")
        self.shown("#red-ui-header-button-deploy:not(.disabled)").click()
        shown = ".red-ui-debug-msg-payload"
        self.browser.wait(lambda _: "a coat is here" in self.shown(shown).text, "the debug sidebar shows what was sent")
        self.assertTrue(self.running.accepts_token(self.held_token))
        self.headers = {"Authorization": f"Bearer {self.held_token}"}
        # A token without a session opens nothing.
        self.is_asked_to_sign_in(self.gateway.client())

    def sign_out(self):
        self.browser.wait(lambda _: not self.visible("#red-ui-full-shade"), "the deployment is over")
        self.shown("#red-ui-header-button-user").click()
        self.shown("#usermenu-item-logout").click()
        self.browser.wait(lambda _: not self.running.accepts_token(self.held_token), "Node-RED forgets the token")
