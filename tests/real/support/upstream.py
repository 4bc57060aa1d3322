"""An upstream inside the test process: it does what a test tells it to, and keeps what it was asked."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .process import free_port


class Serving:
    """A server in a thread of this process: its `port`, ended by `stop()`."""

    def __init__(self, handler):
        self.port = free_port()
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()


class Upstream(Serving):
    """Answers each request by calling `answer(handler)`; `seen` holds method, path and headers of each."""

    def __init__(self, answer):
        self.seen = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.seen.append((self.command, self.path, self.headers))
                answer(self)

            do_POST = do_GET

            def log_message(self, *_):
                """Silence: the tests print what matters."""

        super().__init__(Handler)


def say(text):
    """An answer that is always this text."""

    def answer(handler):
        body = text.encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "text/plain; charset=utf-8")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer
