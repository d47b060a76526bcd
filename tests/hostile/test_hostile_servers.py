"""Hostile web servers: an archive is fetched from each, in bounded memory and time."""

import contextlib
import socket
import threading

import pytest
from bounded import bounded

from common.errors import DataError
from components.image_example_gen.sources import download

OK = 'HTTP/1.1 200 OK\r\n'
CHUNKED = f'{OK}Transfer-Encoding: chunked\r\n\r\n'
REDIRECT_WITH_BODY = (
    'HTTP/1.1 302 Found\r\nLocation: /pets.zip\r\nTransfer-Encoding: chunked\r\n\r\n'
)
NOT_VALID = 'the address, a redirect or a header is not valid'
LONG_NAME = f'http://{"a" * 64}.example/pets.zip'


def endless(text):
    """Sends a text again and again."""
    return lambda connection, stop: _repeat(connection, stop, text * 100, 0)


def slow(start, text):
    """Sends a text twenty times a second."""
    return lambda connection, stop: (
        connection.sendall(start.encode()),
        _repeat(connection, stop, text, 0.05),
    )


def _repeat(connection, stop, text, seconds):
    while not stop.wait(seconds):
        connection.sendall(text.encode())


def after(start, then):
    return lambda connection, stop: (connection.sendall(start.encode()), then(connection, stop))


def only(text):
    return lambda connection, stop: connection.sendall(text.encode())


def redirect(address):
    return only(f'HTTP/1.1 302 Found\r\nLocation: {address}\r\nContent-Length: 0\r\n\r\n')


@contextlib.contextmanager
def server(respond):
    """Responds to each connection in a thread; yields the address."""
    stop = threading.Event()

    def serve(connection):
        with connection, contextlib.suppress(OSError):
            connection.recv(4096)
            respond(connection, stop)

    def accept(listener):
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                connection.settimeout(5)
                threading.Thread(target=serve, args=[connection]).start()

    with socket.create_server(('127.0.0.1', 0)) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=accept, args=[listener])
        thread.start()
        try:
            yield f'http://127.0.0.1:{listener.getsockname()[1]}/pets.zip'
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize(
    ('respond', 'phrase'),
    [
        (after(f'{OK}\r\n', endless('x')), 'it has more than 3 MB'),
        (after(CHUNKED, endless(f'1000\r\n{"x" * 4096}\r\n')), 'it has more than 3 MB'),
        (after(f'{CHUNKED}0\r\n', slow('', 'X-A: b\r\n')), 'over 1 s for the file'),
        (slow(f'{OK}Content-Length: 900000\r\n\r\n', 'x'), 'over 1 s for the file'),
        (slow(OK, 'X-A: b\r\n'), 'over 1 s for the file'),
        (after(OK, endless('X-A: b\r\n')), 'cannot be fetched: '),
        (only(f'{OK}Content-Length: 1\r\nContent-Length: 2\r\n\r\nx'), NOT_VALID),
        (only(f'{OK}Content-Length: {10**17}\r\n\r\nx'), 'it has more than 3 MB'),
        (only('HTTP/1.1 304 Not Modified\r\n\r\n'), 'answers 304 Not Modified'),
        (
            only(
                'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/9\r\n'
                'Content-Length: 1\r\n\r\nx'
            ),
            'answers 206 Partial Content',
        ),
        (after(REDIRECT_WITH_BODY, endless('5\r\nabcde\r\n')), 'over 1 s for the file'),
        (redirect('http://[x/'), NOT_VALID),
        (redirect(LONG_NAME), NOT_VALID),
        (redirect('file:///etc/passwd'), NOT_VALID),
    ],
)
def test_server(monkeypatch, tmp_path, respond, phrase):
    monkeypatch.setenv('CATDOG_CACHE', str(tmp_path))
    monkeypatch.setattr(download, '_MOST', 3_000_000)
    # Short limits only where they are the result.
    monkeypatch.setattr(download, '_SECONDS', 1 if 'over 1 s' in phrase else 40)
    with (
        server(respond) as address,
        bounded(megabytes=150),
        pytest.raises(DataError, match=phrase) as raised,
    ):
        download.fetch(address)
    assert '\n' not in str(raised.value)
    assert not list(tmp_path.glob('*pets.zip'))
