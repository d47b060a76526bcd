"""Runs a compiled Kubeflow spec on the driver and the launcher of a release, without a cluster.

Each pod is a process that sees the files of this machine, so claims must be mounted at their own
paths, and a service account. The Kubernetes API, ML Metadata and object storage, which the two
programs use, are on 127.0.0.1.
"""

import base64
import contextlib
import dataclasses
import http.server
import json
import os
import re
import shlex
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import metadata_service
from bucket_servers import Bucket
from kubeflow_emulator import KubeflowRun, Pod, replace_variables
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from common.metadata_queries import custom_property

_HOST, _NAMESPACE = '127.0.0.1', 'kubeflow'
_OUTPUTS = 'execution_id', 'iteration_count', 'condition', 'cached_decision', 'pod_spec_patch'
_CREDENTIALS = 'mlpipeline-minio-artifact'


@dataclasses.dataclass(frozen=True)
class Backend:
    """The two programs, the servers that they use, and files of a service account."""

    driver: Path
    launcher: Path
    environment: dict[str, str]  # of all pods
    account: Path
    metadata: MetadataStore
    bucket: Bucket


@contextlib.contextmanager
def start_backend(driver: Path, launcher: Path, folder: Path, bucket: Bucket) -> Iterator[Backend]:
    """Starts Kubernetes' API and ML Metadata for the two programs; `bucket` is one of S3."""
    config = metadata_store_pb2.ConnectionConfig(fake_database={})
    settings = {'endpoint': bucket.server.url.removeprefix('http://'), 'disableSSL': True}
    keys = {'secretName': _CREDENTIALS, 'accessKeyKey': 'accesskey', 'secretKeyKey': 'secretkey'}
    settings |= {'region': 'us-east-1', 'credentials': {'fromEnv': False, 'secretRef': keys}}
    secret = base64.b64encode(b'test').decode()
    objects = {
        'configmaps/kfp-launcher': {
            'defaultPipelineRoot': f'minio://{bucket.name}/v2/artifacts',
            'providers': json.dumps({'minio': {'default': settings}}),  # JSON is YAML
        },
        f'secrets/{_CREDENTIALS}': {'accesskey': secret, 'secretkey': secret},
    }
    account = folder / 'account'
    with _kubernetes_api(account, objects) as api_port, metadata_service.serve(config) as port:
        environment = {'KUBERNETES_SERVICE_HOST': _HOST, 'KUBERNETES_SERVICE_PORT': str(api_port)}
        # From the service for the driver, and from a config map for the launcher before 2.15.
        for name in ('METADATA_GRPC_SERVICE_SERVICE', 'METADATA_GRPC_SERVICE'):
            environment |= {f'{name}_HOST': _HOST, f'{name}_PORT': str(port)}
        address = metadata_store_pb2.MetadataStoreClientConfig(host=_HOST, port=port)
        yield Backend(driver, launcher, environment, account, MetadataStore(address), bucket)


@contextlib.contextmanager
def _kubernetes_api(account: Path, objects: dict[str, dict[str, str]]) -> Iterator[int]:
    """Serves config maps and secrets over TLS; writes the files of a service account."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition('?')[0]
            data = objects.get(path.removeprefix(f'/api/v1/namespaces/{_NAMESPACE}/'))
            self.send_response(200 if data else 404)
            self.send_header('Content-Type', 'application/json')
            self.end_headers()
            kind = 'ConfigMap' if 'configmaps' in path else 'Secret'
            body = {'kind': kind, 'data': data} if data else {'kind': 'Status', 'code': 404}
            self.wfile.write(json.dumps({'apiVersion': 'v1', **body}).encode())

    account.mkdir(parents=True)
    key, certificate = account.parent / 'key.pem', account / 'ca.crt'
    subject = ['-subj', f'/CN={_HOST}', '-addext', f'subjectAltName=IP:{_HOST}', '-days', '2']
    create = ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', *subject]
    subprocess.run([*create, '-keyout', key, '-out', certificate], check=True, capture_output=True)
    (account / 'token').write_text('token-of-the-service-account')
    (account / 'namespace').write_text(_NAMESPACE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with http.server.ThreadingHTTPServer((_HOST, 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()


class KubeflowProgramsRun(KubeflowRun):
    """One run of a compiled pipeline on the programs of a release.

    A started DAG is the ID of its execution in Kubeflow's ML Metadata. `folder` also has the
    volumes, in folders that are named after the claims.
    """

    def __init__(self, backend: Backend, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._backend = backend
        usage = subprocess.run([backend.driver, '-help'], capture_output=True, text=True).stderr
        self._flags = set(re.findall(r'^  -(\w+)', usage, re.MULTILINE))

    def read_artifact(self, name: str, key: str) -> tuple[dict[str, Any], str]:
        """The metadata in ML Metadata, and the contents in object storage; metrics have none."""
        bucket = self._backend.bucket
        uri = re.compile(f'minio://{bucket.name}/(.*/{self._run_id}/.*/{key})')
        artifacts = self._backend.metadata.get_artifacts()
        (found,) = [each for each in artifacts if uri.fullmatch(each.uri)]
        metadata = {each: custom_property(found, each) for each in found.custom_properties}
        file = uri.fullmatch(found.uri)[1]
        return metadata, bucket.read(file).decode() if file in bucket.objects else ''

    def _start_dag(self, name: str, task: dict[str, Any], dag: str | None) -> str | None:
        if dag is None:
            config = json.dumps({'parameterValues': self._parameters})
            return self._drive(name, 'ROOT_DAG', runtime_config=config)['execution_id']
        outputs = self._drive(name, 'DAG', task, dag)
        return None if outputs.get('condition') == 'false' else outputs['execution_id']

    def _prepare(self, name: str, task: dict[str, Any], dag: str) -> Pod:
        spec, pod = map(json.dumps, self._settings(task))
        outputs = self._drive(name, 'CONTAINER', task, dag, container=spec, kubernetes_config=pod)
        (container,) = json.loads(outputs['pod_spec_patch'])['containers']
        environment = {
            **self._backend.environment,
            'PATH': f'{sys.prefix}/bin:/usr/bin:/bin:/usr/sbin:/sbin',
            'KFP_POD_NAME': name,
            'KFP_POD_UID': self._run_id,
            **{  # those without a value are from secrets
                each['name']: each.get('value', os.environ.get(each['name'], ''))
                for each in container.get('env', [])
            },
        }
        launcher, *words = [*container['command'], *container['args']]
        assert launcher == '/kfp-launcher/launch'  # where an init container copies it
        words = [replace_variables(word, environment) for word in words]
        return self._pod(name, [str(self._backend.launcher), *words]), environment

    def _drive(
        self, name: str, kind: str, task: dict | None = None, dag: str = '', **options: str
    ) -> dict[str, str]:
        """Runs the driver of a task, with the options that the backend's compiler passes."""
        folder = self._folder / self._run_id / f'{name}-driver'
        if task:
            options |= {'task': json.dumps(task), 'task_name': name, 'dag_execution_id': dag}
        component = self._component(task) if task else self._spec['root']
        options = {
            'type': kind,
            'pipeline_name': self._spec['pipelineInfo']['name'],
            'run_id': self._run_id,
            'run_name': 'a-workflow',
            'run_display_name': 'a-workflow',
            'pipeline_job_create_time_utc': '2026-01-01T00:00:00Z',
            'component': json.dumps(component),
            'mlmd_server_address': self._backend.environment['METADATA_GRPC_SERVICE_HOST'],
            'mlmd_server_port': self._backend.environment['METADATA_GRPC_SERVICE_PORT'],
            **{f'{each}_path': str(folder / each) for each in _OUTPUTS},
            **dict.fromkeys(('http_proxy', 'https_proxy', 'no_proxy'), ''),  # must be given
            **options,
        }
        words = [f'--{key}={value}' for key, value in options.items() if key in self._flags]
        command = self._pod(f'{name}-driver', [str(self._backend.driver), *words])
        environment = self._backend.environment
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}

    def _pod(self, name: str, words: list[str]) -> list[str]:
        """The command that runs a container: the host, a service account, no outputs of others."""
        root = self._folder / self._run_id / name / 'root'
        root.mkdir(parents=True)
        accounts = '"$0/run/secrets/kubernetes.io"'
        lines = ['mount -t tmpfs tmpfs "$0"', f'mkdir -p "$0/minio" {accounts}']
        lines.append(f'cp -r {shlex.quote(str(self._backend.account))} {accounts}/serviceaccount')
        for path in Path('/').iterdir():
            if path.is_symlink():
                lines.append(f'cp --no-dereference {path} "$0"')
            elif path.is_dir() and path.name not in ('run', 'minio'):
                lines.append(f'mkdir "$0{path}"; mount --rbind {path} "$0{path}"')
        script = '\n'.join(['rm -rf /tmp/kfp_outputs', *lines, 'exec chroot "$0" "$@"'])
        return ['unshare', '--map-root-user', '--mount', 'bash', '-euc', script, str(root), *words]
