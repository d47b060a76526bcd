"""A fake of the v2beta1 REST API of Kubeflow Pipelines, as an adapter of `requests`.

Stores experiments, runs and recurring runs, records requests, and can return other responses.
"""

import dataclasses
import io
import json
import re
import urllib.parse

import requests

URL = 'http://kubeflow.example/pipeline'
ID_KEYS = {
    'experiments': 'experiment_id',
    'runs': 'run_id',
    'recurringruns': 'recurring_run_id',
}


@dataclasses.dataclass(frozen=True)
class Stub:
    """The response to requests whose `METHOD URL` matches the pattern."""

    status: int
    body: str = ''
    pattern: str = ''
    location: str = ''

    @classmethod
    def error(cls, status: int, message: str, pattern: str = '') -> 'Stub':
        """Creates an error in the format of the API server; `code` is a gRPC code."""
        return cls(status, json.dumps({'code': 3, 'message': message}), pattern)


class FakeKubeflow(requests.adapters.BaseAdapter):
    """Responds to all requests; `stored` has the items by kind."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[requests.PreparedRequest] = []
        self.stored: dict[str, list[dict]] = {kind: [] for kind in ID_KEYS}
        self.stubs: list[Stub] = []
        self.largest_page = 100
        self.multi_user = False

    def create(self, kind: str, name: str, **values) -> dict:
        """Stores an experiment, a run or a recurring run."""
        identifier = {ID_KEYS[kind]: f'{kind}-{len(self.requests)}-{len(self.stored[kind])}'}
        self.stored[kind].append({'display_name': name, 'status': 'ENABLED', **values} | identifier)
        return self.stored[kind][-1]

    def send(self, request: requests.PreparedRequest, **_) -> requests.Response:
        self.requests.append(request)
        line = f'{request.method} {request.url}'
        stub = next((each for each in self.stubs if re.search(each.pattern, line)), None)
        stub = stub or self._respond(request)
        response = requests.Response()
        response.status_code, response.encoding = stub.status, 'utf-8'
        response.url, response.request = request.url, request
        response.headers['Location'] = stub.location
        response.raw = io.BytesIO(stub.body.encode())
        return response

    def close(self) -> None:
        """Has no connections."""

    def _respond(self, request: requests.PreparedRequest) -> Stub:
        parts = urllib.parse.urlsplit(request.url)
        kind, _, identifier = parts.path.removeprefix('/pipeline/apis/v2beta1/').partition('/')
        if kind == 'healthz':
            return Stub(200, json.dumps({'multi_user': self.multi_user}))
        if kind not in self.stored:
            return Stub(404, '{}')
        if request.method == 'POST':
            body = json.loads(request.body)
            return Stub(200, json.dumps(self.create(kind, body.pop('display_name'), **body)))
        if request.method == 'DELETE':
            self.stored[kind] = [
                each for each in self.stored[kind] if each[ID_KEYS[kind]] != identifier
            ]
            return Stub(200, '{}')
        return Stub(200, json.dumps(self._page(kind, dict(urllib.parse.parse_qsl(parts.query)))))

    def _page(self, kind: str, query: dict[str, str]) -> dict:
        items = self.stored[kind]
        if 'filter' in query:
            (predicate,) = json.loads(query['filter'])['predicates']
            items = [each for each in items if each['display_name'] == predicate['stringValue']]
        start = int(query.get('page_token') or 0)
        end = start + min(int(query.get('page_size', 10)), self.largest_page)
        more = {'next_page_token': str(end)} if end < len(items) else {}
        return {kind.replace('runs', 'Runs'): items[start:end], **more}
