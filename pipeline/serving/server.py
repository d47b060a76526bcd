"""Runs the HTTP server until a signal."""

import errno
import ipaddress
import socket

import uvicorn
from starlette.types import ASGIApp

from common.errors import ConfigError, RunError

_CONNECTIONS = 256  # further ones get status 503
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
        return socket.create_server((address[0], port), family=family)
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


def create_server(app: ASGIApp) -> uvicorn.Server:
    """Creates the server of an application."""
    config = uvicorn.Config(
        app,
        loop='asyncio',
        http='h11',
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
