"""Runs a compiled Kubeflow spec on the driver and the launcher of a release, without a cluster.

Each pod is a process with its own mounts: private folders, and a volume for each claim. The
Kubernetes API, ML Metadata and object storage, which the two programs use, are on 127.0.0.1.
"""

import contextlib
import dataclasses
import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import metadata_service
from bucket_servers import Bucket
from kubeflow_emulator import (
    REPOSITORY,
    KubeflowRun,
    TaskResult,
    replace_variables,
    run_pod,
)
from kubernetes_api import kubernetes_api
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2

_LAUNCHER = '/kfp-launcher/launch'  # the path in the pods, where an init container copies it
_DRIVER = '/kfp-driver'
_PRIVATE = 'tmp', 'run', 'minio'  # folders that are empty in each pod
_OUTPUTS = 'execution_id', 'iteration_count', 'condition', 'cached_decision', 'pod_spec_patch'
_DEFAULT_OUTPUTS = {'condition': 'true', 'cached_decision': 'false'}
_DRIVER_SECONDS = 60.0
_LOGGED_CHARACTERS = 2000  # of a pod that failed
_WORKFLOW = 'a-workflow'
_CREDENTIALS = 'mlpipeline-minio-artifact'


@dataclasses.dataclass(frozen=True)
class Backend:
    """The two programs of a release, and the servers that they use.

    Attributes:
        flags: options that the driver knows.
        environment: variables of all pods.
        account: files of the service account.
        metadata: Kubeflow's ML Metadata.
        bucket: for artifacts.
    """

    driver: Path
    launcher: Path
    flags: frozenset[str]
    environment: dict[str, str]
    account: Path
    metadata: MetadataStore
    bucket: Bucket


@contextlib.contextmanager
def start_backend(driver: Path, launcher: Path, folder: Path, bucket: Bucket) -> Iterator[Backend]:
    """Starts Kubernetes' API and ML Metadata for the two programs; `bucket` is one of S3."""
    usage = subprocess.run([driver, '-help'], capture_output=True, text=True, timeout=30).stderr
    flags = frozenset(re.findall(r'^  -(\w+)', usage, re.MULTILINE))
    assert 'task_name' in flags, f'{driver} is not the driver of a release from 2.14 on'
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(folder / 'metadata.sqlite')
    config.sqlite.connection_mode = config.sqlite.READWRITE_OPENCREATE
    settings = {'endpoint': bucket.server.url.removeprefix('http://'), 'disableSSL': True}
    keys = {'secretName': _CREDENTIALS, 'accessKeyKey': 'accesskey', 'secretKeyKey': 'secretkey'}
    settings |= {'region': 'us-east-1', 'credentials': {'fromEnv': False, 'secretRef': keys}}
    launcher_settings = {
        'defaultPipelineRoot': f'minio://{bucket.name}/v2/artifacts',
        'providers': json.dumps({'minio': {'default': settings}}),  # JSON is YAML
    }
    secrets = {_CREDENTIALS: {'accesskey': 'test', 'secretkey': 'test'}}
    account = folder / 'account'
    with (
        kubernetes_api(account, {'kfp-launcher': launcher_settings}, secrets) as environment,
        metadata_service.serve(config) as port,
    ):
        address = metadata_store_pb2.MetadataStoreClientConfig(host='127.0.0.1', port=port)
        # From the service for the driver, and from a config map for the launcher before 2.15.
        for name in ('METADATA_GRPC_SERVICE_SERVICE', 'METADATA_GRPC_SERVICE'):
            environment |= {f'{name}_HOST': address.host, f'{name}_PORT': str(address.port)}
        store = MetadataStore(address)
        yield Backend(driver, launcher, flags, environment, account, store, bucket)


class KubeflowProgramsRun(KubeflowRun):
    """One run of a compiled pipeline on the programs of a release.

    A started DAG is represented by the ID of its execution in Kubeflow's ML Metadata.

    Args:
        backend: programs and servers.
        package, folder, only, parameters: as for `KubeflowRun`; `folder` also has the volumes,
            in folders that are named after the claims.

    Attributes:
        pods: names of the pods, in the order of their end; state and duration are printed.
    """

    def __init__(
        self, backend: Backend, package: Path, folder: Path, *arguments: Any, **options: Any
    ) -> None:
        self._backend = backend
        super().__init__(package, folder, *arguments, **options)
        self._patches: dict[str, dict[str, Any]] = {}
        self.pods: list[str] = []

    def execute(self) -> None:
        sys.stdout.write(f'\nrun {self._run_id}\n')
        super().execute()
        sys.stdout.write(f'{len(self.pods)} pods\n')

    def run_again(self, name: str) -> TaskResult:
        began = time.monotonic()
        result = super().run_again(name)
        self._add_pod(name, result.code, began)
        if result.code:
            sys.stdout.write(result.output[-_LOGGED_CHARACTERS:])
        return result

    def read_artifact(self, name: str, key: str) -> tuple[dict[str, Any], str]:
        """The metadata in ML Metadata, and the contents in object storage."""
        artifacts = self._backend.metadata.get_artifacts()
        uri = re.compile(f'minio://{self._backend.bucket.name}/(.*/{self._run_id}/.*/{key})')
        (found,) = [each for each in artifacts if uri.fullmatch(each.uri)]
        component = self._spec['components'][f'comp-{name}']
        declared = component['outputDefinitions']['artifacts'][key]['artifactType']
        assert found.type == declared['schemaTitle']
        metadata = {
            each: getattr(value, value.WhichOneof('value'))
            for each, value in found.custom_properties.items()
        }
        path = uri.fullmatch(found.uri)[1]
        return metadata, self._backend.bucket.read(path).decode()

    def states(self) -> dict[str, str]:
        store, execution = self._backend.metadata, metadata_store_pb2.Execution
        (context,) = [each for each in store.get_contexts() if each.name == self._run_id]
        states = {
            each.custom_properties['task_name'].string_value: each.last_known_state
            for each in store.get_executions_by_context(context.id)
        }
        return {name: execution.State.Name(states[name]) for name in self.finished}

    def _start_root(self) -> str:
        config = json.dumps({'parameterValues': self._parameters})
        outputs = self._drive('root', 'ROOT_DAG', self._spec['root'], runtime_config=config)
        return outputs['execution_id']

    def _start_dag(self, name: str, task: dict[str, Any], dag: str) -> str | None:
        outputs = self._drive_task(name, 'DAG', task, dag)
        if outputs['condition'] == 'false':
            sys.stdout.write(f'{name:30} Skipped\n')
            return None
        return outputs['execution_id']

    def _prepare_container(self, name: str, task: dict[str, Any], dag: str) -> None:
        container, kubernetes = self._executor(self._component(task))
        settings = {'container': container, 'kubernetes_config': kubernetes}
        texts = {key: json.dumps(value) for key, value in settings.items()}
        outputs = self._drive_task(name, 'CONTAINER', task, dag, **texts)
        assert outputs['cached_decision'] == 'false'
        patch = json.loads(outputs['pod_spec_patch'])
        (container,) = patch['containers']
        environment = {
            **self._backend.environment,
            'PATH': f'{sys.prefix}/bin:/usr/bin:/bin:/usr/sbin:/sbin',
            'HOME': '/tmp',
            'KFP_POD_NAME': name,
            'KFP_POD_UID': self._run_id,
            **{each['name']: each.get('value', '') for each in container.get('env', [])},
        }
        words = [*container['command'], *container['args']]
        self._patches[name] = patch
        self._environments[name] = environment
        self._commands[name] = [replace_variables(word, environment) for word in words]
        self._timeouts[name] = patch['activeDeadlineSeconds']

    def _attempt(self, name: str) -> list[str]:
        patch = self._patches[name]
        (container,) = patch['containers']
        claims = {
            each['name']: self._folder / each['persistentVolumeClaim']['claimName']
            for each in patch.get('volumes', [])
        }
        mounts = [
            (claims[each['name']], each['mountPath']) for each in container.get('volumeMounts', [])
        ]
        code = [(Path(each), each) for each in {str(REPOSITORY), sys.prefix, sys.base_prefix}]
        mounts += [*code, (self._backend.launcher, _LAUNCHER)]
        return self._pod(name, self._commands[name], mounts)

    def _drive_task(
        self, name: str, kind: str, task: dict[str, Any], dag: str, **options: str
    ) -> dict[str, str]:
        options |= {'task': json.dumps(task), 'task_name': name, 'dag_execution_id': dag}
        return self._drive(name, kind, self._component(task), **options)

    def _component(self, task: dict[str, Any]) -> dict[str, Any]:
        return self._spec['components'][task['componentRef']['name']]

    def _drive(
        self, name: str, kind: str, component: dict[str, Any], **options: str
    ) -> dict[str, str]:
        """Runs the driver of a task, with the options that the backend's compiler passes."""
        began = time.monotonic()
        options |= {
            'type': kind,
            'pipeline_name': self._spec['pipelineInfo']['name'],
            'run_id': self._run_id,
            'run_name': _WORKFLOW,
            'run_display_name': _WORKFLOW,
            'pipeline_job_create_time_utc': '2026-01-01T00:00:00Z',
            'component': json.dumps(component),
            'mlmd_server_address': self._backend.environment['METADATA_GRPC_SERVICE_HOST'],
            'mlmd_server_port': self._backend.environment['METADATA_GRPC_SERVICE_PORT'],
            **dict.fromkeys(('http_proxy', 'https_proxy', 'no_proxy'), ''),
            **{f'{each}_path': f'/tmp/outputs/{each}' for each in _OUTPUTS},
        }
        words = [
            f'--{key}={value}'.replace('{{workflow.name}}', _WORKFLOW)  # as Argo does
            for key, value in options.items()
            if key in self._backend.flags
        ]
        pod = f'{name}-driver'
        code, output = run_pod(
            self._pod(pod, [_DRIVER, *words], [(self._backend.driver, _DRIVER)]),
            _DRIVER_SECONDS,
            env=self._backend.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._add_pod(pod, code, began)
        assert code == 0, output[-_LOGGED_CHARACTERS:]
        folder = self._folder / self._run_id / pod / 'tmp/outputs'
        return _DEFAULT_OUTPUTS | {path.name: path.read_text() for path in folder.iterdir()}

    def _pod(self, name: str, words: list[str], mounts: list[tuple[Path, str]]) -> list[str]:
        """The command that runs a container with its mounts."""
        folder = self._folder / self._run_id / name
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier attempt
        for each in (*_PRIVATE, 'root'):
            (folder / each).mkdir(parents=True)
        private = [(folder / each, f'/{each}') for each in _PRIVATE]
        account = self._backend.account, '/run/secrets/kubernetes.io/serviceaccount'
        script = '\n'.join(_mount_commands(folder / 'root', [*private, account, *mounts]))
        script += '\nexec chroot "$0" "$@"'
        root = str(folder / 'root')
        return ['unshare', '--map-root-user', '--mount', 'bash', '-euc', script, root, *words]

    def _add_pod(self, name: str, code: int, began: float) -> None:
        self.pods.append(name)
        state = 'Failed' if code else 'Succeeded'
        sys.stdout.write(f'{name:30} {state:9} {time.monotonic() - began:6.1f} s\n')


def _mount_commands(root: Path, mounts: list[tuple[Path, str]]) -> Iterator[str]:
    """Shell commands for a root file system: the host's, with other contents at some paths."""
    hidden = {target for _, target in mounts}
    yield f'mount -t tmpfs tmpfs {shlex.quote(str(root))}'
    for path in Path('/').iterdir():
        source, target = shlex.quote(str(path)), shlex.quote(f'{root}{path}')
        if path.is_symlink():
            yield f'cp --no-dereference {source} {target}'
        elif path.is_dir() and str(path) not in hidden:
            yield f'mkdir {target}; mount --rbind {source} {target}'
    for path, inside in mounts:
        source, target = shlex.quote(str(path)), shlex.quote(f'{root}{inside}')
        folder = target if path.is_dir() else shlex.quote(f'{root}{Path(inside).parent}')
        yield f'mkdir -p {folder}'
        if not path.is_dir():
            yield f'touch {target}'
        yield f'mount --bind {source} {target}'
