"""Runs the HTTP server until a signal."""

import asyncio
import errno
import ipaddress
import socket

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from common.errors import ConfigError, RunError
from common.redaction import redacted

_CONNECTIONS = 256  # further ones get status 503
_HEADER_SECONDS = 30.0  # until a request begins, with all of its headers
_SHUTDOWN_SECONDS = 60  # for requests in progress


def listen(host: str, port: int) -> socket.socket:
    """Opens the socket of the server; port 0 takes a free one.

    Raises:
        ConfigError: the port is in use, or the host is not an address of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        server = socket.create_server((address[0], port), family=family)
        # Accepted connections inherit it. Else the second write of a response waits for the
        # client's delayed acknowledgement, 40 ms: asyncio sets it only for a stated protocol.
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server
    except UnicodeError:  # a label of over 63 characters, or without any
        raise ConfigError(
            f'the server cannot listen on {redacted(host)[:80]}: no name of a host'
        ) from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f'port {port} of {host} is in use; change it with --port') from None
        reason = error.strerror or error
        raise ConfigError(f'the server cannot listen on {host}, port {port}: {reason}') from None


def accepted_hosts(listening: socket.socket) -> tuple[str, ...]:
    """Accepted values of the header Host.

    On a loopback address only local names: a website could otherwise let its own name resolve to
    this address, and read the responses (DNS rebinding).
    """
    address = ipaddress.ip_address(listening.getsockname()[0])
    return ('localhost', '127.0.0.1', str(address), '[::1]') if address.is_loopback else ('*',)


def url(listening: socket.socket) -> str:
    """The address of the page."""
    host, port, *_ = listening.getsockname()
    return f'http://{f"[{host}]" if ":" in host else host}:{port}/'


class _Connection(H11Protocol):
    """Closes a connection on which no request begins; uvicorn would wait, and has few of them."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._limit_wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._limit_wait()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._limit_wait()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_timer()

    def _limit_wait(self) -> None:
        """Starts the timer while no request is in progress; its body and response have limits."""
        if self.cycle and not self.cycle.response_complete:
            self._stop_timer()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(_HEADER_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def create_server(app: ASGIApp) -> uvicorn.Server:
    """Creates the server of an application."""
    config = uvicorn.Config(
        app,
        loop='asyncio',
        http=_Connection,
        ws='none',
        lifespan='on',
        log_config=None,
        access_log=False,
        log_level='warning',
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    return uvicorn.Server(config)


def run(app: ASGIApp, listening: socket.socket) -> None:
    """Serves an application until SIGINT or SIGTERM, and raises the signal again at the end.

    Requests in progress are completed first. Raises RunError if the application does not start.
    """
    server = create_server(app)
    server.run(sockets=[listening])
    if not server.started:
        raise RunError('the server did not start; see the lines above')
