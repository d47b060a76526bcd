"""Images from files, folders and URLs, and their errors."""

import http.server
import threading

from components.inference.input_images import InputImage, read_images

LIMIT = 1000
RESPONSES = {'/cat.jpg': b'a cat', '/large.jpg': bytes(LIMIT + 1)}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = RESPONSES.get(self.path.partition('?')[0])
        self.send_response(200 if body else 404)
        self.end_headers()
        self.wfile.write(body or b'')

    def log_message(self, *arguments):
        pass


def read(*arguments):
    return list(read_images(map(str, arguments), LIMIT))


def test_reads_files_and_folders_in_order(tmp_path):
    for name in ('b', 'a', 'folder/x.jpg', 'folder/deep/er/y.PNG', 'folder/n.txt', 'folder/.h.jpg'):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (tmp_path / 'empty').mkdir()

    *images, empty = read(*(tmp_path / name for name in ('b', 'a', 'folder', 'empty')))

    names = ['b', 'a', 'folder/deep/er/y.PNG', 'folder/x.jpg']
    assert images == [InputImage(f'{tmp_path}/{name}', name.encode()) for name in names]
    assert empty == InputImage(f'{tmp_path}/empty', problem='has no images')


def test_unreadable_image_does_not_affect_others(tmp_path):
    (tmp_path / 'a').write_bytes(b'1')
    (tmp_path / 'large').write_bytes(bytes(LIMIT + 1))
    expected = {
        tmp_path / 'gone': 'cannot be read: No such file or directory',
        'null\0': 'cannot be read: ',
        'a' * 300: 'cannot be read: File name too long',
        'http://me:secret@[::1': 'cannot be downloaded: ',
        tmp_path / 'large': 'too large: ',
        '/dev/zero': 'cannot be read: not a regular file',
    }

    *bad, good = read(*expected, tmp_path / 'a')

    for image, problem in zip(bad, expected.values(), strict=True):
        assert image.problem.startswith(problem)
        assert 'secret' not in f'{image}'
    assert good.contents == b'1'


def test_downloads_url_and_hides_passwords():
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=[0.01]).start()
        server = f'127.0.0.1:{running.server_port}'
        urls = [f'http://{server}/{name}.jpg' for name in ('large', 'dog')]
        cat, large, missing = read(f'http://me:secret@{server}/cat.jpg?token=secret', *urls)
        running.shutdown()

    assert cat == InputImage(f'http://***@{server}/cat.jpg?***', b'a cat')
    assert large.problem.startswith('cannot be downloaded: it has more than ')
    assert missing.problem == 'cannot be downloaded: the server answers 404 Not Found'
