"""Serves one page on the loopback interface."""

import http.server
from pathlib import Path

from common.errors import ConfigError

_HOST = '127.0.0.1'


class PageServer(http.server.ThreadingHTTPServer):
    """Serves one page at `/` and nothing else; port 0 selects a free port.

    Raises:
        ConfigError: the port cannot be used.
    """

    daemon_threads = True

    def __init__(self, page: Path, port: int) -> None:
        try:
            super().__init__((_HOST, port), _Handler)
        except OSError as error:
            reason = error.strerror
            raise ConfigError(f'port {port} of {_HOST} cannot be used: {reason}') from error
        self.page = page

    @property
    def address(self) -> str:
        """URL of the page."""
        return f'http://{_HOST}:{self.server_address[1]}/'


class _Handler(http.server.BaseHTTPRequestHandler):
    server: PageServer

    def do_GET(self) -> None:
        if self.path != '/':
            self.send_error(404)
            return
        contents = self.server.page.read_bytes()
        self.send_response(200)
        self.send_header('Content-Type', 'text/html; charset=utf-8')
        self.send_header('Content-Length', str(len(contents)))
        self.end_headers()
        self.wfile.write(contents)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Logs no requests."""
