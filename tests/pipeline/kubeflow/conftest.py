"""A fake Kubeflow server with a part of the v2beta1 REST API."""

import http.server
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator

import pytest

IDS = {'experiments': 'experiment_id', 'runs': 'run_id', 'recurringruns': 'recurring_run_id'}


class FakeKubeflow(http.server.ThreadingHTTPServer):
    """Stores items by kind; `stubs` are other responses: pattern of `METHOD path`, status, body."""

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self.server_port}/pipeline'
        self.stored: dict[str, list[dict]] = {kind: [] for kind in IDS}
        self.stubs: list[tuple[str, int, str]] = []
        self.requests: list[tuple[str, dict]] = []  # lines and headers
        threading.Thread(target=self.serve_forever, args=[0.01], daemon=True).start()

    def create(self, kind: str, **item) -> dict:
        self.requests.append(('', {}))  # for another ID
        self.stored[kind].append({**item, IDS[kind]: f'{kind}-{len(self.requests)}'})
        return self.stored[kind][-1]

    def respond(self, method: str, path: str, body: dict | None) -> dict:
        parts = urllib.parse.urlsplit(path)
        kind, _, item = parts.path.removeprefix('/pipeline/apis/v2beta1/').partition('/')
        if body:
            return self.create(kind, **body)
        if method == 'DELETE':
            self.stored[kind] = [each for each in self.stored[kind] if each[IDS[kind]] != item]
            return {}
        query = dict(urllib.parse.parse_qsl(parts.query))
        (wanted,) = json.loads(query['filter'])['predicates']
        named = [e for e in self.stored[kind] if e[wanted['key']] == wanted['stringValue']]
        if experiment := query.get('experiment_id'):
            named = [e for e in named if e.get('experiment_id', experiment) == experiment]
        return {kind.replace('runs', 'Runs'): named, 'key_of_a_newer_release': 1}


class Handler(http.server.BaseHTTPRequestHandler):
    server: FakeKubeflow

    def do_GET(self) -> None:
        line = f'{self.command} {self.path}'
        self.server.requests.append((line, dict(self.headers)))
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        stubs = [stub for stub in self.server.stubs if re.search(stub[0], line)]
        if stubs:
            _, status, text = stubs[0]
        else:
            answer = self.server.respond(self.command, self.path, json.loads(body or 'null'))
            status, text = 200, json.dumps(answer)
        self.send_response(status)
        self.send_header('Location', '/dex')
        self.end_headers()
        self.wfile.write(text.encode(errors='surrogateescape'))

    do_POST = do_DELETE = do_GET  # noqa: N815 - names of http.server

    def log_message(self, *_) -> None:
        """Prints nothing."""


@pytest.fixture
def kubeflow() -> Iterator[FakeKubeflow]:
    with FakeKubeflow() as server:
        yield server
        server.shutdown()
