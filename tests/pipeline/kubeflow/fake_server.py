"""A fake of the v2beta1 REST API of Kubeflow Pipelines, in a thread, on 127.0.0.1.

Stores experiments, runs and recurring runs, records requests, and can return other responses.
"""

import dataclasses
import http.server
import json
import re
import threading
import urllib.parse

PREFIX = '/apis/v2beta1/'
ID_KEYS = {
    'experiments': 'experiment_id',
    'runs': 'run_id',
    'recurringruns': 'recurring_run_id',
}


@dataclasses.dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: dict


@dataclasses.dataclass(frozen=True)
class Stub:
    """The response to requests whose `METHOD path` matches the pattern."""

    status: int
    body: str = ''
    pattern: str = ''
    location: str = ''

    @classmethod
    def error(cls, status: int, message: str, pattern: str = '') -> 'Stub':
        """Creates an error in the format of the API server; `code` is a gRPC code."""
        return cls(status, json.dumps({'code': 3, 'message': message}), pattern)


class FakeKubeflow(http.server.ThreadingHTTPServer):
    """`with FakeKubeflow() as kubeflow:` serves at `kubeflow.url`; `stored` has its items."""

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), _Handler)
        self.requests: list[Request] = []
        self.stored: dict[str, list[dict]] = {kind: [] for kind in ID_KEYS}
        self.stubs: list[Stub] = []
        self.largest_page = 100
        self.multi_user = False
        self.url = f'http://127.0.0.1:{self.server_port}'
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def __enter__(self) -> 'FakeKubeflow':
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    def create(self, kind: str, name: str, **values) -> dict:
        """Stores an experiment, a run or a recurring run."""
        identifier = {ID_KEYS[kind]: f'{kind}-{len(self.requests)}-{len(self.stored[kind])}'}
        self.stored[kind].append({'display_name': name, 'status': 'ENABLED', **values} | identifier)
        return self.stored[kind][-1]

    def respond(self, request: Request) -> Stub:
        """Returns the first matching stub, or the response of the API."""
        line = f'{request.method} {request.path}'
        for stub in self.stubs:
            if re.search(stub.pattern, line):
                return stub
        kind, _, identifier = request.path.removeprefix(PREFIX).partition('/')
        if kind == 'healthz':
            return Stub(200, json.dumps({'multi_user': self.multi_user}))
        if kind not in self.stored:
            return Stub(404, '{}')
        if request.method == 'POST':
            name = request.body.pop('display_name')
            return Stub(200, json.dumps(self.create(kind, name, **request.body)))
        if request.method == 'DELETE':
            self.stored[kind] = [
                each for each in self.stored[kind] if each[ID_KEYS[kind]] != identifier
            ]
            return Stub(200, '{}')
        return Stub(200, json.dumps(self._page(kind, request.query)))

    def _page(self, kind: str, query: dict[str, str]) -> dict:
        items = self.stored[kind]
        if 'filter' in query:
            (predicate,) = json.loads(query['filter'])['predicates']
            items = [each for each in items if each['display_name'] == predicate['stringValue']]
        start = int(query.get('page_token') or 0)
        end = start + min(int(query.get('page_size', 10)), self.largest_page)
        more = {'next_page_token': str(end)} if end < len(items) else {}
        return {kind.replace('runs', 'Runs'): items[start:end], **more}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    server: FakeKubeflow

    def _respond(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        request = Request(
            method=self.command,
            path=parts.path,
            query=dict(urllib.parse.parse_qsl(parts.query)),
            headers={key.lower(): value for key, value in self.headers.items()},
            body=json.loads(self.rfile.read(int(self.headers.get('Content-Length', 0))) or b'{}'),
        )
        self.server.requests.append(request)
        stub = self.server.respond(request)
        body = stub.body.encode()
        self.send_response(stub.status)
        self.send_header('Content-Length', str(len(body)))
        if stub.location:
            self.send_header('Location', stub.location)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = _respond  # noqa: N815 - names of the base class

    def log_message(self, *_) -> None:
        """Prints nothing."""
