"""Images that a person names, and what is wrong with some."""

import contextlib
import http.server
import socket
import threading

import pytest

from pipeline.prediction import given_images
from pipeline.prediction.given_images import Given, read_given

LIMIT = 1000
ANSWERS = {
    '/cat.jpg': (200, b'a cat', True),
    '/large.jpg': (200, bytes(LIMIT + 1), True),
    '/endless.jpg': (200, bytes(2**20), False),  # does not say how long it is
}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, body, says_length = ANSWERS.get(self.path.partition('?')[0], (404, b'', True))
        self.send_response(status)
        if says_length:
            self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope='module')
def server():
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f'127.0.0.1:{running.server_port}'
        running.shutdown()
        thread.join()


def read(*arguments):
    return list(read_given(map(str, arguments), LIMIT))


def test_files_come_in_the_order_in_which_they_are_named(tmp_path):
    (tmp_path / 'b').write_bytes(b'2')
    (tmp_path / 'a').write_bytes(b'1')
    assert read(tmp_path / 'b', tmp_path / 'a') == [
        Given(f'{tmp_path}/b', b'2'),
        Given(f'{tmp_path}/a', b'1'),
    ]


def test_of_a_folder_the_images_at_any_depth_are_read(tmp_path):
    for name in ('x.jpg', 'deep/er/y.PNG', 'notes.txt', '.hidden.jpg'):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b'.')
    assert [each.path for each in read(tmp_path)] == [
        f'{tmp_path}/x.jpg',
        f'{tmp_path}/deep/er/y.PNG',
    ]


def test_a_folder_without_images_is_a_problem(tmp_path):
    assert read(tmp_path) == [Given(str(tmp_path), problem='it holds no images')]


def test_a_file_that_is_not_there_costs_no_other(tmp_path):
    (tmp_path / 'a').write_bytes(b'1')
    gone, there = read(tmp_path / 'gone', tmp_path / 'a')
    assert gone.problem == 'it cannot be read: No such file or directory'
    assert there.contents == b'1'


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    (tmp_path / 'large').write_bytes(bytes(LIMIT + 1))
    (given,) = read(tmp_path / 'large')
    assert given.problem == 'too large: it has 0.0 MB; the limit is 0.001 MB'


def test_what_has_no_end_is_read_no_further_than_the_limit():
    (given,) = read('/dev/zero')
    assert given.problem.startswith('too large: it has more bytes than it says')


def test_an_image_is_fetched_from_its_address(server):
    assert read(f'http://{server}/cat.jpg') == [Given(f'http://{server}/cat.jpg', b'a cat')]


def test_passwords_in_an_address_are_not_printed(server):
    (given,) = read(f'http://me:secret@{server}/cat.jpg?token=secret')
    assert given == Given(f'http://{server}/cat.jpg', b'a cat')


@pytest.mark.parametrize('name', ['large', 'endless'])
def test_an_answer_that_is_too_large_is_given_up(server, name):
    (given,) = read(f'http://{server}/{name}.jpg')
    assert given.problem.startswith('too large: ')


def test_an_answer_that_is_none_is_told(server):
    (given,) = read(f'http://{server}/dog.jpg')
    assert given.problem == 'it cannot be fetched: the server answers 404 Not Found'


def test_a_server_that_is_not_there_is_told():
    (given,) = read('http://127.0.0.1:9/cat.jpg')
    assert given.problem.startswith('it cannot be fetched: the server cannot be reached')


@pytest.mark.parametrize('beginning', ['', 'HTTP/1.1 200 OK\r\n\r\n'])
def test_nobody_waits_longer_than_a_while_for_drops_of_an_answer(beginning, monkeypatch):
    monkeypatch.setattr(given_images, '_WHOLE', 0.3)
    enough = threading.Event()

    def drop(listener):
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(beginning.encode() or b'HTTP/1.1 200 OK\r\nX-A: ')
            while not enough.wait(0.05):
                connection.sendall(b'x')

    with socket.create_server(('127.0.0.1', 0)) as listener:
        thread = threading.Thread(target=drop, args=[listener])
        thread.start()
        (given,) = read(f'http://127.0.0.1:{listener.getsockname()[1]}/cat.jpg')
        enough.set()
        thread.join()

    assert given.problem == 'it cannot be fetched: the server takes longer than 0.3 seconds'


def test_an_address_that_is_none_costs_no_other(tmp_path):
    (tmp_path / 'a').write_bytes(b'1')
    bad, good = read('http://me:secret@[::1', tmp_path / 'a')
    assert bad == Given('http://...', problem='it cannot be fetched: the address is not valid')
    assert good.contents == b'1'
