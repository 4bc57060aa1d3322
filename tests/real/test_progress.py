"""Long commands show on a terminal how far they are, and write nothing of it into a pipe."""

import os
import pty
import sqlite3
import subprocess
import termios
import unittest

from support.gateway import BINARY, PASSWORDS, Gateway, cloakroom, route

# What moves the cursor or the colour.
STEERS = ("\r", "\x1b")
ROWS = 300


def on_a_terminal(arguments, cwd):
    """What a person sees of a command: standard error is a terminal, as wide as they are. Output and exit code."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    with os.fdopen(ours, "rb", buffering=0) as screen:
        child = subprocess.Popen([BINARY, *arguments], cwd=cwd, stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        seen = b""
        try:
            while part := screen.read(65536):
                seen += part
        except OSError:
            # So a terminal on Linux says that nobody writes to it any more.
            pass
        return seen.decode(), child.wait(timeout=30)


class LongCommands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.gateway = Gateway(route("app", 9))
        cls.addClassCleanup(cls.gateway.stop)
        cls.gateway.server.stop()
        config = cls.gateway.config
        config.write_text(config.read_text().replace("type: memory", "type: disk"))
        cls.gateway.start()
        for user in PASSWORDS:
            cls.gateway.signed_in(user)
        # Nobody else may use a disk store beside a gateway.
        cls.gateway.server.stop()
        (cls.gateway.root / "secret.key").write_text("a secret key of Django's\n")
        database = sqlite3.connect(cls.gateway.root / "db.sqlite3")
        with database:
            database.execute("CREATE TABLE django_session (session_key, session_data, expire_date)")
            rows = ((f"{n:032}", "forged:1r31eq:signature", "2099-01-01 00:00:00") for n in range(ROWS))
            database.executemany("INSERT INTO django_session VALUES (?, ?, ?)", rows)
        database.close()

    def shows(self, command, picture, said):
        """On a terminal the picture, in a pipe only what is said."""
        file = ["--config", str(self.gateway.config)]
        with self.subTest("a terminal"):
            seen, code = on_a_terminal([*command, *file], self.gateway.root)
            self.assertEqual(code, 0, seen)
            self.assertRegex(seen, picture)
            # What was drawn is wiped off again.
            self.assertIn("\x1b[2K", seen)
        for made in self.gateway.root.glob("moved*"):
            made.rename(self.gateway.root / "first")
        with self.subTest("a pipe"):
            done = cloakroom(*command, *file, cwd=self.gateway.root)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, said)
            for steering in STEERS:
                self.assertNotIn(steering, done.stdout + done.stderr)

    def test_export_and_import(self):
        self.shows(["sessions", "export", "--output", "moved"], r"\d+ of \d+ entries", r"^\d+ entries written")
        self.shows(["sessions", "import", "first"], r"KiB of [\d.]+ KiB", r"^0 entries imported, \d+ were there")

    def test_clear_expired(self):
        self.gateway.start()
        self.addCleanup(self.gateway.server.stop)
        self.shows(["sessions", "clear-expired"], "deleting what has expired", "^0 expired sessions deleted")

    def test_import_django(self):
        command = ["import", "django", "--database", "db.sqlite3", "--secret-key-file", "secret.key"]
        self.shows(command, rf"\d+ of {ROWS} sessions", rf"^0 sessions imported .*{ROWS} unreadable")


if __name__ == "__main__":
    unittest.main()
