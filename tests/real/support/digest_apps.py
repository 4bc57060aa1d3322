"""Servers that sign people in by HTTP Digest, as Debian ships them: Apache with WebDAV, and lighttpd.

Each knows `alice` by the password that the gateway knows, in a file with the hash that Digest needs.
"""

import hashlib
import shutil

from .apps import App
from .gateway import PASSWORDS
from .process import Server

REALM = "An old server"
# A short life for a nonce, so that a test sees it end; longer than the gateway trusts one with what cannot be sent twice.
SECONDS = 6

APACHE = """\
ServerName localhost
ServerRoot {root}
Listen 127.0.0.1:{port}
PidFile {root}/pid
User nobody
Group nogroup
ErrorLog /dev/stderr
LogLevel info
{modules}
DocumentRoot {root}/www
DavLockDB {root}/locks
<Directory {root}/www>
  Dav On
  AuthType Digest
  AuthName "{realm}"
  AuthDigestProvider file
  AuthUserFile {root}/users
  AuthDigestNonceLifetime {seconds}
  Require user alice
</Directory>
"""

LIGHTTPD = """\
server.modules = ("mod_auth", "mod_authn_file")
server.document-root = "{root}/www"
server.bind = "127.0.0.1"
server.port = {port}
auth.backend = "htdigest"
auth.backend.htdigest.userfile = "{root}/users"
auth.require = ("/" => ("method" => "digest", "algorithm" => "{algorithm}", "realm" => "{realm}",
                        "require" => "user=alice"))
"""

MODULES = ["mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_digest", "dav", "dav_fs"]


class DigestApp(App):
    """Files below `www`, for `alice` alone."""

    def __init__(self, algorithm="md5"):
        super().__init__()
        www = self.root / "www"
        www.mkdir()
        (www / "hello.txt").write_text("hello, alice\n")
        secret = hashlib.new(algorithm, f"alice:{REALM}:{PASSWORDS['alice']}".encode()).hexdigest()
        (self.root / "users").write_text(f"alice:{REALM}:{secret}\n")
        # Apache gives up root's rights.
        for path in (self.root, www, www / "hello.txt", self.root / "users"):
            path.chmod(0o777 if path.is_dir() else 0o644)

    def program(self, name):
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
        if found is None:
            raise AssertionError(f"{name} is not there: tests/run installs it")
        return found


class Apache(DigestApp):
    """mod_auth_digest and mod_dav."""

    def __init__(self):
        super().__init__()
        folder = "/usr/lib/apache2/modules"
        modules = "\n".join(f"LoadModule {name}_module {folder}/mod_{name}.so" for name in MODULES)
        config = self.root / "apache.conf"
        text = APACHE.format(root=self.root, port=self.port, modules=modules, realm=REALM, seconds=SECONDS)
        config.write_text(text)
        self.server = Server([self.program("apache2"), "-f", config, "-DFOREGROUND"], self.port)


class Lighttpd(DigestApp):
    """mod_auth, whose nonces name their time and whose algorithm can be a new one."""

    def __init__(self, algorithm):
        super().__init__({"MD5": "md5", "SHA-256": "sha256"}[algorithm])
        config = self.root / "lighttpd.conf"
        config.write_text(LIGHTTPD.format(root=self.root, port=self.port, realm=REALM, algorithm=algorithm))
        self.server = Server([self.program("lighttpd"), "-D", "-f", config], self.port)
