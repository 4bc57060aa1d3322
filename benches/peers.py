"""The servers that side_by_side compares: their configuration, start, check and end.

Each runs from its own configuration in one scratch directory, on a free port of 127.0.0.1, pinned to
one core, and is ended by its process id. A service of the same name on this machine is never touched.
"""

import html.parser
import http.cookiejar
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

# As three usual ones look.
APP_COOKIES = ["PHPSESSID=" + "s" * 26, "csrftoken=" + "c" * 32, "lang=en"]
IDENTITY = {
    "Remote-User": "bench",
    "Remote-Name": "Bench Mark",
    "Remote-Email": "bench@example.com",
    "Remote-Groups": "staff,users",
}
PASSWORD = "side by side"
SEARCH_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class Failure(Exception):
    """Something the person at the terminal must know; no traceback."""


def program(name):
    return shutil.which(name, path=SEARCH_PATH)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One running program and what the kernel knows of it."""

    def __init__(self, name, argv, port, core, directory):
        self.name, self.port = name, port
        self.log_path = os.path.join(directory, f"{name}.log")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=directory,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def wait_until_listening(self):
        for _ in range(100):
            if self.process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.1)
        with open(self.log_path, errors="replace") as log:
            raise Failure(f"{self.name} does not listen on port {self.port}:\n{log.read()[-2000:]}")

    def process_ids(self):
        """The program and its children (nginx: master and worker)."""
        ids = [self.process.pid]
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    parent = int(stat.read().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has just ended
            if parent == self.process.pid:
                ids.append(int(entry))
        return ids

    def cpu_seconds(self):
        """User and system time of all threads: utime + stime, but from schedstat, which counts in
        nanoseconds where /proc/PID/stat counts in hundredths of a second."""
        total = 0
        for process_id in self.process_ids():
            for thread in os.listdir(f"/proc/{process_id}/task"):
                with open(f"/proc/{process_id}/task/{thread}/schedstat") as schedstat:
                    total += int(schedstat.read().split()[0])
        return total / 1e9

    def rss_mib(self):
        total = 0
        for process_id in self.process_ids():
            with open(f"/proc/{process_id}/status") as status:
                total += int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))
        return total / 1024

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Peers:
    """Writes configurations into `directory` and starts servers; close() ends them all."""

    def __init__(self, directory, proxy_core, load_core, access_log):
        self.directory, self.access_log = directory, access_log
        self.proxy_core, self.load_core = proxy_core, load_core
        self.servers, self.cluster = [], None
        self.app_port, self.auth_port = free_port(), free_port()

    def close(self):
        for server in reversed(self.servers):
            server.stop()
        if self.cluster:
            subprocess.run([*self.cluster, "stop"], capture_output=True)

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def start(self, name, argv, port, core):
        server = Server(name, argv, port, core, self.directory)
        self.servers.append(server)
        return server.wait_until_listening()

    def nginx(self, name, port, core, servers, access_log):
        scratch = os.path.join(self.directory, name)
        os.mkdir(scratch)
        temporary = "\n".join(
            f"  {kind}_temp_path {scratch}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        log = f"{scratch}/access.log combined" if access_log else "off"
        config = f"""daemon off;
worker_processes 1;
pid {scratch}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 2048; }}
http {{
  access_log {log};
  keepalive_requests 100000000;
{temporary}
{servers}
}}
"""
        path = self.write(f"{name}.conf", config)
        return self.start(name, [program("nginx"), "-p", scratch, "-e", "stderr", "-c", path], port, core)

    def app(self):
        """The app behind everybody, and the instant yes-sayer for auth_request, on the load's core."""
        identity = "\n".join(f'    add_header {name} "{value}";' for name, value in IDENTITY.items())
        set_cookies = "\n".join(f'      add_header Set-Cookie "{pair}; Path=/; HttpOnly";' for pair in APP_COOKIES)
        seen = 'return 200 "user=$http_remote_user groups=$http_remote_groups connection=$http_connection";'
        return self.nginx(
            "app",
            self.app_port,
            self.load_core,
            f"""  server {{
    listen 127.0.0.1:{self.app_port};
    default_type text/plain;
    location / {{ return 200 "{"cloakroom " * 15}"; }}
    location = /public/seen {{ {seen} }}
    location = /private/seen {{ {seen} }}
    location = /vault/seen {{ {seen} }}
    location = /vault/cookies {{ return 200 "$http_cookie"; }}
    location = /vault/set {{
{set_cookies}
      return 200 "set";
    }}
  }}
  server {{
    listen 127.0.0.1:{self.auth_port};
{identity}
    location / {{ return 204; }}
  }}""",
            access_log=False,
        )

    def upstream(self, name, port):
        return (
            f"  upstream {name} {{ server 127.0.0.1:{port}; keepalive 256; keepalive_requests 100000000; }}\n"
        )

    def nginx_plain(self):
        port = free_port()
        servers = self.upstream("app", self.app_port) + f"""  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}
  }}"""
        return self.nginx("nginx-plain", port, self.proxy_core, servers, self.access_log)

    def nginx_auth_request(self):
        port = free_port()
        variables = {name: "auth_" + name.lower().replace("-", "_") for name in IDENTITY}
        taken = "\n".join(f"      auth_request_set ${v} $upstream_http_{v.removeprefix('auth_')};" for v in variables.values())
        # A location with one proxy_set_header inherits none: Connection stands beside the others.
        given = "\n".join(f"      proxy_set_header {name} ${v};" for name, v in variables.items())
        servers = self.upstream("app", self.app_port) + self.upstream("auth", self.auth_port) + f"""  server {{
    listen 127.0.0.1:{port};
    location / {{
      auth_request /auth;
{taken}
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
{given}
    }}
    location = /auth {{
      internal;
      proxy_pass http://auth;
      proxy_http_version 1.1;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header Connection "";
    }}
  }}"""
        return self.nginx("nginx-auth-request", port, self.proxy_core, servers, self.access_log)

    def haproxy(self):
        port = free_port()
        log_target = "log stdout format raw local0" if self.access_log else ""
        log = "log global\n  option httplog" if self.access_log else ""
        config = f"""global
  nbthread 1
  {log_target}
defaults
  mode http
  {log}
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{port}
  default_backend app
backend app
  server app 127.0.0.1:{self.app_port}
"""
        path = self.write("haproxy.cfg", config)
        return self.start("haproxy", [program("haproxy"), "-db", "-f", path], port, self.proxy_core)

    def cloakroom(self, binary, store="{ type: memory }", name="cloakroom", more_routes=()):
        """`more_routes`: what a route says but for its upstream."""
        port = free_port()
        hashed = subprocess.run([binary, "hash-password"], input=PASSWORD + "\n", capture_output=True, text=True)
        if hashed.returncode != 0:
            raise Failure(f"cloakroom hash-password failed:\n{hashed.stderr}")
        user = {"name": IDENTITY["Remote-User"], "display_name": IDENTITY["Remote-Name"]}
        user |= {"email": IDENTITY["Remote-Email"], "password": hashed.stdout.strip().splitlines()[-1]}
        lines = [f"{key}: {value!r}" for key, value in user.items()] + [f"groups: [{IDENTITY['Remote-Groups']}]"]
        self.write(f"{name}-users.yaml", "- " + "\n  ".join(lines) + "\n")
        upstream = f"http://127.0.0.1:{self.app_port}"
        more = "".join(f'  - {{ {route}, upstream: "{upstream}" }}\n' for route in more_routes)
        config = f"""listeners: [{{ address: "127.0.0.1:{port}" }}]
workers: 1
data_dir: {self.directory}/{name}-data
session: {{ cookie: {{ secure: false }} }}
store: {store}
login: {{ form: {{ users_file: {self.directory}/{name}-users.yaml }} }}
routes:
  - {{ path: /public, access: public, upstream: "{upstream}" }}
  - {{ path: /private, access: user, upstream: "{upstream}" }}
{more}admin: {{ address: null }}
log: {{ level: {"info" if self.access_log else "warn"}, access: {str(self.access_log).lower()} }}
"""
        path = self.write(f"{name}.yaml", config)
        return self.start(name, [binary, "run", "--config", path], port, self.proxy_core)

    def redis(self):
        """Beside the app: what it does is not a gateway's CPU."""
        port, directory = free_port(), os.path.join(self.directory, "redis")
        os.makedirs(directory)
        command = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--dir", directory]
        self.start("redis", [*command, "--appendonly", "yes"], port, self.load_core)
        return f"redis://127.0.0.1:{port}"

    def postgres(self):
        """A cluster of our own, by the script of the tests; close() ends it."""
        port, directory = free_port(), os.path.join(self.directory, "postgres")
        self.cluster = [os.path.join(os.path.dirname(__file__), "..", "tests", "servers", "postgres"), directory, str(port)]
        done = subprocess.run([*self.cluster, "start"], capture_output=True, text=True)
        if done.returncode != 0:
            raise Failure(f"PostgreSQL does not start:\n{done.stdout}{done.stderr}")
        return f"postgres://cloakroom@127.0.0.1:{port}/postgres"


class LoginForm(html.parser.HTMLParser):
    """The form with a password field: where it posts, and its fields."""

    def __init__(self, page):
        super().__init__()
        self.action, self.fields, self.password, self.user = None, {}, None, None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form" and self.password is None:
            self.action, self.fields, self.user = attributes.get("action") or "", {}, None
        if tag != "input" or not attributes.get("name") or self.action is None:
            return
        kind = attributes.get("type", "text")
        if kind == "password":
            self.password = attributes["name"]
        elif kind in ("text", "email") and self.user is None:
            self.user = attributes["name"]
        elif kind == "hidden":
            self.fields[attributes["name"]] = attributes.get("value", "")


def sign_in(server):
    """Signs in as a person would, through the form; returns the Cookie header of the session."""
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    browser.addheaders = [("Accept", "text/html"), ("User-Agent", "side_by_side")]
    wanted = server.url("/private/seen")
    try:
        with browser.open(wanted) as response:
            page_url, page = response.url, response.read().decode()
        form = LoginForm(page)
        if form.password is None or form.user is None:
            raise Failure(f"no sign-in form at {page_url}:\n{page[:500]}")
        fields = form.fields | {form.user: IDENTITY["Remote-User"], form.password: PASSWORD}
        post = urllib.request.Request(
            urllib.parse.urljoin(page_url, form.action),
            urllib.parse.urlencode(fields).encode(),
            {"Origin": server.url(""), "Referer": page_url},
        )
        with browser.open(post) as response:
            landed, body = response.url, response.read().decode()
    except urllib.error.HTTPError as error:
        raise Failure(f"sign-in failed: {error.code} from {error.url}:\n{error.read().decode()[:500]}") from error
    if landed != wanted:
        raise Failure(f"sign-in ended at {landed} instead of {wanted}:\n{body[:500]}")
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)


def fill_vault(server, cookie):
    """Has the app set its cookies, and makes sure that it gets them back while the browser never saw them."""
    ask = lambda path: urllib.request.urlopen(urllib.request.Request(server.url(path), headers={"Cookie": cookie}))  # noqa: E731
    with ask("/vault/set") as response:
        if any(pair in str(response.headers) for pair in APP_COOKIES):
            raise Failure(f"{server.name}: the app's cookies reach the browser")
    with ask("/vault/cookies") as response:
        seen = response.read().decode()
    if seen != "; ".join(APP_COOKIES):
        raise Failure(f"{server.name}: the app was sent `{seen}`")


def check(server, path, cookie, identity):
    """One request by hand: the app must have seen what this row is about, over a kept-alive connection."""
    request = urllib.request.Request(server.url(path + "/seen"), headers={"Cookie": cookie} if cookie else {})
    with urllib.request.urlopen(request) as response:
        seen = response.read().decode()
    user, groups = (IDENTITY["Remote-User"], IDENTITY["Remote-Groups"]) if identity else ("", "")
    if seen not in (f"user={user} groups={groups} connection=", f"user={user} groups={groups} connection=keep-alive"):
        raise Failure(f"{server.name}: the app saw `{seen}`")
