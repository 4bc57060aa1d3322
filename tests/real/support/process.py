"""Child processes of the tests: each on its own free port, with its own log file, ended by its pid.

Tests wait for a condition with a deadline, never for a fixed time. What a server printed is part of every
failure, so that a test that fails on somebody else's machine can be understood from its output alone.
"""

import atexit
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

_RUNNING = set()


@atexit.register
def _end_all():
    """An interrupted run skips the tests' own clean-ups; no server may outlive it."""
    for server in list(_RUNNING):
        server.stop()


def free_port():
    """A TCP port on the loopback address that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def accepts(port):
    """Whether somebody accepts connections on this port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def eventually(check, what, seconds=10.0):
    """The first true answer of `check`; fails with `what` was expected and the last answer when time is up."""
    deadline = time.monotonic() + seconds
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"expected within {seconds:g} s: {what}; last answer: {answer!r}")
        time.sleep(0.03)


class Server:
    """A child process that is started, waited for and ended; also usable in a `with` statement."""

    def __init__(self, argv, port=None, cwd=None, env=None):
        self.argv = [str(part) for part in argv]
        self.port = port
        self._log = tempfile.NamedTemporaryFile(prefix="server-", suffix=".log")
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        self.process = subprocess.Popen(
            self.argv, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT
        )
        _RUNNING.add(self)
        if port is not None:
            self._wait_until_it_listens(port)

    def _wait_until_it_listens(self, port):
        try:
            eventually(lambda: self._exited() or accepts(port), f"{self.argv[0]} listens on port {port}", 30)
            if self._exited():
                raise AssertionError(f"{self.argv[0]} ended with exit code {self.process.returncode}")
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}\n{' '.join(self.argv)} printed:\n{self.output()}") from None

    def _exited(self):
        return self.process.poll() is not None

    def output(self):
        """Everything the process has printed so far, both streams."""
        return Path(self._log.name).read_text(errors="replace")

    def wait_for(self, pattern, seconds=10.0):
        """The match of a regular expression in the output, as soon as it is there."""
        try:
            return eventually(lambda: re.search(pattern, self.output(), re.S), f"output like {pattern!r}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{' '.join(self.argv)} printed:\n{self.output()}") from None

    def signal(self, number):
        """Sends a signal to this process alone."""
        self.process.send_signal(number)

    def exit_code(self, seconds=15.0):
        """The exit code, once the process has ended by itself."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"expected {self.argv[0]} to end within {seconds:g} s; it printed:\n{self.output()}"
            ) from None

    def stop(self):
        """Ends the process: politely, after ten seconds not."""
        if not self._exited():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        _RUNNING.discard(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self._log.close()
