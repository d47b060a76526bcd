"""The objects of the Kubernetes API that Kubeflow's driver and launcher read, over TLS."""

import base64
import contextlib
import http.server
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMESPACE = 'kubeflow'
_HOST = '127.0.0.1'
_KINDS = {'configmaps': 'ConfigMap', 'secrets': 'Secret'}


class _Handler(http.server.BaseHTTPRequestHandler):
    server: '_Server'
    protocol_version = 'HTTP/1.1'

    def do_GET(self) -> None:
        path = self.path.partition('?')[0]
        *_, plural, name = path.split('/')
        values = self.server.objects.get(f'{plural}/{name}')
        body: dict[str, Any] = {'apiVersion': 'v1', 'kind': _KINDS.get(plural, 'Status')}
        if path != f'/api/v1/namespaces/{NAMESPACE}/{plural}/{name}' or values is None:
            status = 404
            body |= {'kind': 'Status', 'status': 'Failure', 'reason': 'NotFound', 'code': status}
        elif self.headers['Authorization'] != f'Bearer {self.server.token}':
            status = 401
        else:
            status = 200
            body |= {'metadata': {'name': name, 'namespace': NAMESPACE}, 'data': values}
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    token = 'token-of-the-service-account'
    objects: dict[str, dict[str, str]]


@contextlib.contextmanager
def kubernetes_api(
    account: Path, config_maps: dict[str, dict[str, str]], secrets: dict[str, dict[str, str]]
) -> Iterator[dict[str, str]]:
    """Serves config maps and secrets of one namespace; yields the variables with the address.

    Writes the files of a service account: namespace, token and certificate.
    """
    account.mkdir(parents=True)
    key = account.parent / 'key.pem'
    subject = ['-subj', f'/CN={_HOST}', '-addext', f'subjectAltName=IP:{_HOST}', '-days', '2']
    create = ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', *subject]
    files = ['-keyout', key, '-out', account / 'ca.crt']
    subprocess.run([*create, *files], check=True, capture_output=True)
    (account / 'token').write_text(_Server.token)
    (account / 'namespace').write_text(NAMESPACE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(account / 'ca.crt', key)
    with _Server((_HOST, 0), _Handler) as server:
        server.objects = {f'configmaps/{name}': values for name, values in config_maps.items()}
        for name, values in secrets.items():
            encoded = {each: base64.b64encode(values[each].encode()).decode() for each in values}
            server.objects[f'secrets/{name}'] = encoded
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield {
            'KUBERNETES_SERVICE_HOST': _HOST,
            'KUBERNETES_SERVICE_PORT': str(server.server_port),
        }
        server.shutdown()
        thread.join()
