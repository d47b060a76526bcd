"""A fake of the v2beta1 REST API of Kubeflow Pipelines, in a thread, on 127.0.0.1.

Stores experiments, runs and recurring runs, records requests, and can return errors.
"""

import dataclasses
import http.server
import json
import re
import threading
import urllib.parse

PREFIX = '/apis/v2beta1/'


@dataclasses.dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: dict


@dataclasses.dataclass(frozen=True)
class StubResponse:
    """The response to requests whose `METHOD path` matches the pattern."""

    status: int
    body: str = ''
    content_type: str = 'application/json'
    headers: tuple[tuple[str, str], ...] = ()
    pattern: str = ''

    @classmethod
    def with_message(cls, status: int, message: str, pattern: str = '') -> 'StubResponse':
        """Creates an error in the format of the API server; `code` is a gRPC code."""
        body = {'error': message, 'code': 3, 'message': message, 'details': []}
        return cls(status, json.dumps(body), pattern=pattern)


class FakeKubeflow:
    """`with FakeKubeflow() as kubeflow:` serves at `kubeflow.url`."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.experiments: list[dict] = []
        self.runs: list[dict] = []
        self.recurring_runs: list[dict] = []
        self.stubs: list[StubResponse] = []
        self.largest_page = 100
        self.delay_seconds = 0.0
        self.multi_user = False
        self._closed = threading.Event()
        self._server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f'http://127.0.0.1:{self._server.server_port}'

    def __enter__(self) -> 'FakeKubeflow':
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add_schedule(self, name: str, **values) -> dict:
        run = {'display_name': name, 'mode': 'ENABLE', **values}
        return self._create('recurringruns', run)

    def respond(self, request: Request) -> tuple[int, dict]:
        kind, _, identifier = request.path.removeprefix(PREFIX).partition('/')
        if kind == 'healthz':
            return 200, {'multi_user': self.multi_user}
        if kind not in ('experiments', 'runs', 'recurringruns'):
            return 404, {}
        if request.method == 'POST':
            return 200, self._create(kind, request.body)
        if request.method == 'DELETE':
            kept = [run for run in self.recurring_runs if run['recurring_run_id'] != identifier]
            known = len(kept) < len(self.recurring_runs)
            self.recurring_runs = kept
            return (200, {}) if known else (404, {'code': 5, 'message': 'not found'})
        return 200, self._list(kind, request.query)

    def _create(self, kind: str, values: dict) -> dict:
        key, items = {
            'experiments': ('experiment_id', self.experiments),
            'runs': ('run_id', self.runs),
            'recurringruns': ('recurring_run_id', self.recurring_runs),
        }[kind]
        created = {**values, key: f'{kind}-{len(self.requests)}-{len(items)}'}
        if kind == 'recurringruns':
            created['status'] = 'ENABLED' if created['mode'] == 'ENABLE' else 'DISABLED'
        items.append(created)
        return created

    def _list(self, kind: str, query: dict[str, str]) -> dict:
        name, items = {
            'experiments': ('experiments', self.experiments),
            'recurringruns': ('recurringRuns', self.recurring_runs),
        }[kind]
        wanted = [each['stringValue'] for each in _predicates(query)]
        items = [each for each in items if not wanted or each['display_name'] in wanted]
        start = int(query.get('page_token') or 0)
        end = start + min(int(query.get('page_size', 10)), self.largest_page)
        more = {'next_page_token': str(end)} if end < len(items) else {}
        return {name: items[start:end], **more}

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def _respond(self) -> None:
                request = _read(self)
                fake.requests.append(request)
                fake._closed.wait(fake.delay_seconds)
                line = f'{request.method} {request.path}'
                stubs = (each for each in fake.stubs if re.search(each.pattern, line))
                stub = next(stubs, None)
                if stub is None:
                    status, body = fake.respond(request)
                    stub = StubResponse(status, json.dumps(body))
                _write(self, stub)

            def do_GET(self) -> None:
                self._respond()

            def do_POST(self) -> None:
                self._respond()

            def do_DELETE(self) -> None:
                self._respond()

            def log_message(self, *_) -> None:
                pass

        return Handler


def _read(handler: http.server.BaseHTTPRequestHandler) -> Request:
    parts = urllib.parse.urlsplit(handler.path)
    body = handler.rfile.read(int(handler.headers.get('Content-Length', 0)))
    return Request(
        method=handler.command,
        path=parts.path,
        query=dict(urllib.parse.parse_qsl(parts.query)),
        headers={key.lower(): value for key, value in handler.headers.items()},
        body=json.loads(body or b'{}'),
    )


def _write(handler: http.server.BaseHTTPRequestHandler, response: StubResponse) -> None:
    body = response.body.encode()
    try:
        handler.send_response(response.status)
        handler.send_header('Content-Type', response.content_type)
        handler.send_header('Content-Length', str(len(body)))
        for header in response.headers:
            handler.send_header(*header)
        handler.end_headers()
        handler.wfile.write(body)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the client timed out


def _predicates(query: dict[str, str]) -> list[dict]:
    return json.loads(query['filter'])['predicates'] if query.get('filter') else []
