"""Runs the HTTP server until a signal."""

import ipaddress
import socket

import uvicorn
from starlette.types import ASGIApp

from common.errors import ConfigError
from common.redaction import redacted

_CONNECTIONS = 64  # further ones get status 503; the body of each may be in memory
_SHUTDOWN_SECONDS = 60  # for requests in progress


def listen(host: str, port: int) -> socket.socket:
    """Opens the socket of the server; port 0 takes a free one.

    Raises ConfigError if the port is in use, or the host is not an address of this machine.
    """
    try:
        family = socket.AF_INET6 if ':' in host else socket.AF_INET
        server = socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host
        reason = getattr(error, 'strerror', None) or error
        where = f'--host {redacted(host)[:80]} --port {port}'
        raise ConfigError(f'the server cannot listen on {where}: {reason}') from None
    # Accepted connections inherit it. Else the second write of a response waits for the client's
    # delayed acknowledgement, 40 ms: asyncio sets it only for a socket with a stated protocol.
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return server


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
    """Creates the server of an application: `run(sockets=[listening])` serves until a signal."""
    config = uvicorn.Config(
        app,
        ws='none',
        log_config=None,
        log_level='warning',
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    return uvicorn.Server(config)
