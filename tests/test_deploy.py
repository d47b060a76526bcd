"""Deployment files, checked without a container engine and without a cluster."""

import configparser
import datetime
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
import zoneinfo
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import click.testing
import cronsim
import kubernetes_validate
import kubernetes_validate.utils
import pytest
import yaml

from pipeline.config.metadata_config import parse_address
from pipeline.config.recipe import load_recipe
from pipeline_runner import main

REPOSITORY = Path(__file__).parent.parent
DEPLOY = REPOSITORY / 'deploy'
KUBERNETES = DEPLOY / 'kubernetes'
README = (DEPLOY / 'README.md').read_text()
DOCKERFILE = (DEPLOY / 'Dockerfile').read_text()
OVERLAYS = sorted(path.name for path in (KUBERNETES / 'overlays').iterdir())
VERSIONS = [each.removesuffix('.0') for each in kubernetes_validate.utils.all_versions()]
PACKAGES = ('common', 'components', 'configs', 'pipeline', 'trainer')
USER = 10001

Resource = dict[str, Any]

needs_kubectl = pytest.mark.skipif(shutil.which('kubectl') is None, reason='needs kubectl')


def by_name(resources: Iterable[Resource]) -> dict[tuple[str, str], Resource]:
    return {(each['kind'], each['metadata']['name']): each for each in resources}


def pod_templates(resources: Iterable[Resource]) -> Iterator[Resource]:
    """Metadata and specifications of the pods that workloads create."""
    for resource in resources:
        kind = resource['kind']
        if kind == 'Pod':
            yield resource
        if kind == 'CronJob':
            yield resource['spec']['jobTemplate']['spec']['template']
        if kind in ('Deployment', 'StatefulSet'):
            yield resource['spec']['template']


def pod_specs(resources: Iterable[Resource]) -> list[Resource]:
    return [template['spec'] for template in pod_templates(resources)]


def containers(resources: list[Resource]) -> Iterator[Resource]:
    for pod in pod_specs(resources):
        yield from (*pod.get('initContainers', []), *pod['containers'])


MANIFESTS: list[Resource] = [
    resource
    for path in KUBERNETES.rglob('*.yaml')
    if path.name not in ('kustomization.yaml', 'recipe.yaml')
    for resource in yaml.safe_load_all(path.read_text())
]
RESOURCES = by_name(MANIFESTS)
LOADER = RESOURCES['Pod', 'catdog-loader']
CRONJOB = RESOURCES['CronJob', 'catdog-retrain']
DATABASE = RESOURCES['StatefulSet', 'catdog-metadata']
BACKUP = RESOURCES['CronJob', 'catdog-metadata-backup']
OPS = RESOURCES['Deployment', 'catdog-ops']
RESTORE = RESOURCES['Pod', 'catdog-restore']
(RETRAIN_CONTAINER,) = containers([CRONJOB])
(OPS_CONTAINER,) = containers([OPS])
PLATFORM = yaml.safe_load((KUBERNETES / 'platform' / 'kustomization.yaml').read_text())
IMAGE = r'[\w./-]+(:\d[\w.-]*|@sha256:[0-9a-f]{64})'  # a version or a digest


@pytest.fixture(scope='module')
def built() -> dict[str, list[Resource]]:
    """Resources of each overlay."""
    return {name: kustomize(KUBERNETES / 'overlays' / name) for name in OVERLAYS}


def kustomize(folder: Path) -> list[Resource]:
    output = subprocess.check_output(['kubectl', 'kustomize', folder], text=True)
    return list(yaml.safe_load_all(output))


@pytest.mark.parametrize('version', [VERSIONS[0], VERSIONS[-1]])
def test_manifests_match_kubernetes_schemas(version):
    for resource in MANIFESTS:
        kubernetes_validate.validate(resource, version, strict=True)


def references(pod: Resource) -> Iterator[tuple[str, str]]:
    """Kind and name of each resource that a pod needs."""
    yield 'ServiceAccount', pod['serviceAccountName']
    for volume in pod['volumes']:
        if 'persistentVolumeClaim' in volume:
            yield 'PersistentVolumeClaim', volume['persistentVolumeClaim']['claimName']
        if 'configMap' in volume:
            yield 'ConfigMap', volume['configMap']['name']
    for source in itertools.chain(*(each.get('envFrom', []) for each in pod['containers'])):
        yield 'Secret', source['secretRef']['name']
    for variable in itertools.chain(*(each.get('env', []) for each in pod['containers'])):
        secret = variable.get('valueFrom', {}).get('secretKeyRef')
        if secret and not secret.get('optional'):
            yield 'Secret', secret['name']


@needs_kubectl
@pytest.mark.parametrize('overlay', OVERLAYS)
def test_overlay_is_valid_and_complete(built, overlay):
    without_claims = overlay.endswith('object-storage')
    pods = [] if without_claims else [LOADER, RESTORE]
    pods = pods if overlay.startswith('kubeflow') else [LOADER]
    resources = [*built[overlay], *pods]
    for resource in resources:
        kubernetes_validate.validate(resource, VERSIONS[-1], strict=True)
    for container in containers(resources):
        assert re.fullmatch(IMAGE, container['image'])
    needed = set(itertools.chain(*map(references, pod_specs(resources))))
    created = {('Secret', 'catdog-metadata'), ('ConfigMap', 'catdog-recipe')}
    created |= {('Secret', 'catdog-storage')} if without_claims else set()
    assert needed - set(by_name(resources)) <= created
    assert not (without_claims and 'PersistentVolumeClaim' in {kind for kind, _ in needed})
    assert 'kubectl create secret generic catdog-metadata ' in README
    assert 'kubectl create configmap catdog-recipe ' in README


@needs_kubectl
def test_settings_of_the_platform_repeat_lost_pods_and_set_the_time_zone(tmp_path):
    names = 'workflow-controller-configmap', 'pipeline-install-config'
    installed = [
        {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': name}, 'data': {'a': 'b'}}
        for name in names
    ]
    (tmp_path / 'installed.yaml').write_text(yaml.safe_dump_all(installed))
    component = os.path.relpath(KUBERNETES / 'components' / 'platform', tmp_path)
    content = {'resources': ['installed.yaml'], 'components': [component]}
    (tmp_path / 'kustomization.yaml').write_text(yaml.safe_dump(content))

    data = {each['metadata']['name']: each['data'] for each in kustomize(tmp_path)}
    defaults = yaml.safe_load(data[names[0]]['workflowDefaults'])['spec']['templateDefaults']
    assert defaults == {'retryStrategy': {'limit': '0', 'retryPolicy': 'Always'}}
    recipe = load_recipe(str(DEPLOY / 'recipe.yaml'))
    zone = recipe.kubeflow.connection.cron_timezone
    assert data[names[1]] == {'a': 'b', 'cronScheduleTimezone': zone}
    release = re.search(r'\?ref=([\d.]+)$', PLATFORM['resources'][0])
    assert release
    assert f'ref={release[1]}' in README
    assert PLATFORM['components'] == ['../components/platform']


def test_claims_are_mounted_for_reading_and_writing_once():
    """At the first mount of a claim, Kubernetes sets its group, unless the claim is read-only."""
    for pod in pod_specs(MANIFESTS):
        claims = [each.get('persistentVolumeClaim', {}) for each in pod['volumes']]
        assert not any(each.get('readOnly') for each in claims)


def test_cpu_requests_fit_a_node_of_two_cores():
    tasks = load_recipe(str(DEPLOY / 'recipe.yaml')).kubeflow.tasks.values()
    requests = [each['resources']['requests']['cpu'] for each in containers(MANIFESTS)]
    for cores in (*requests, *(each.cpu for each in tasks if each.cpu)):
        assert float(cores.removesuffix('m')) < 2 * (1000 if cores.endswith('m') else 1)


def test_kubeflow_recipe_matches_the_manifests():
    recipe = load_recipe(str(DEPLOY / 'recipe.yaml'))
    address = parse_address(recipe.metadata.address)
    (secret,) = recipe.kubeflow.secrets
    (container,) = containers([DATABASE])
    environment = {each['name']: each for each in container['env']}
    key = environment['MARIADB_PASSWORD']['valueFrom']['secretKeyRef']
    service = RESOURCES['Service', address.host]['spec']

    assert service['ports'][0]['port'] == address.port
    assert service['selector'] == DATABASE['spec']['selector']['matchLabels']
    assert environment['MARIADB_DATABASE']['value'] == address.database
    assert environment['MARIADB_USER']['value'] == address.user
    assert key == {'name': secret.secret, 'key': secret.key}
    assert secret.env == recipe.metadata.password_env
    assert {(volume.claim, str(volume.path)) for volume in recipe.kubeflow.volumes} == {
        ('catdog-runs', str(recipe.workdir)),
        ('catdog-data', str(recipe.data.path)),
    }


@needs_kubectl
def test_recipe_without_volumes_has_the_secret_and_image_of_its_overlay(built):
    recipe = load_recipe(str(DEPLOY / 'recipe-object-storage.yaml'))
    resources = built['kubeflow-object-storage']
    (container,) = containers(resources)
    (source,) = container['envFrom']
    assert recipe.is_remote
    assert recipe.kubeflow.volumes == ()
    assert {each.secret for each in recipe.kubeflow.secrets} == {source['secretRef']['name']}
    assert all(each.key == each.env for each in recipe.kubeflow.secrets)
    assert container['image'] == recipe.kubeflow.image
    guide = (REPOSITORY / 'docs' / 'how-to' / 'object-storage.md').read_text()
    (command,) = re.findall(r'kubectl create secret generic catdog-storage(?:.*\\\n)+.*\n', guide)
    keys = set(re.findall(r'--from-literal=(\w+)=', command))
    assert keys == {each.key for each in recipe.kubeflow.secrets}
    assert 'deploy/kubernetes/overlays/kubeflow-object-storage' in guide


def test_ops_pod_has_image_volumes_and_password_of_the_runs():
    recipe = load_recipe(str(DEPLOY / 'recipe.yaml'))
    (secret,) = recipe.kubeflow.secrets
    overlay = (KUBERNETES / 'overlays' / 'kubeflow' / 'kustomization.yaml').read_text()
    (image,) = yaml.safe_load(overlay)['images']
    (pod,) = pod_specs([OPS])
    paths = {each['name']: each['mountPath'] for each in OPS_CONTAINER['volumeMounts']}
    mounts = {
        volume['persistentVolumeClaim']['claimName']: paths[volume['name']]
        for volume in pod['volumes']
        if 'persistentVolumeClaim' in volume
    }
    (variable,) = OPS_CONTAINER['env']
    key = variable['valueFrom']['secretKeyRef']

    assert OPS_CONTAINER['image'] == image['name']
    assert f'{image["newName"]}:{image["newTag"]}' == recipe.kubeflow.image
    assert mounts == {volume.claim: volume.path for volume in recipe.kubeflow.volumes}
    assert (variable['name'], key['name'], key['key']) == (secret.env, secret.secret, secret.key)


def test_only_runs_backups_and_operators_reach_the_database():
    spec = RESOURCES['NetworkPolicy', 'catdog-metadata']['spec']
    (rule,) = spec['ingress']
    run = {'pipelines.kubeflow.org/v2_component': 'true', 'workflows.argoproj.io/node': 'a'}
    labels = {'run': run, 'other': {'app.kubernetes.io/name': 'notebook'}}
    for (_, name), resource in RESOURCES.items():
        for pod in pod_templates([resource]):
            labels[name] = pod['metadata']['labels']

    def selected(selector: Resource) -> set[str]:
        names = None
        for each in selector.get('matchExpressions', []):
            assert (each['key'], each['operator']) == ('app.kubernetes.io/name', 'In')
            names = each['values']
        return {
            name
            for name, each in labels.items()
            if selector.get('matchLabels', {}).items() <= each.items()
            and (names is None or each.get('app.kubernetes.io/name') in names)
        }

    admitted = set().union(*(selected(peer['podSelector']) for peer in rule['from']))
    assert selected(spec['podSelector']) == {'catdog-metadata'}
    assert admitted == {'run', 'catdog-ops', 'catdog-metadata-backup', 'catdog-restore'}
    assert all(set(peer) == {'podSelector'} for peer in rule['from']), 'of this namespace'
    assert (spec['policyTypes'], rule['ports']) == (['Ingress'], [{'port': 'mysql'}])


def test_only_the_database_has_the_root_password():
    keys: dict[str, list[str]] = {}
    for container in containers(MANIFESTS):
        for variable in container.get('env', []):
            if 'valueFrom' in variable:
                key = variable['valueFrom']['secretKeyRef']['key']
                keys.setdefault(key, []).append(container['name'])

    assert keys['root-password'] == ['mariadb']
    assert {'backup', 'mariadb', 'ops', 'restore'} == set(keys['password'])
    (command,) = re.findall(r'kubectl create secret generic(?:.*\\\n)+.*\n', README)
    assert set(re.findall(r'--from-literal=([\w-]+)="\$\(openssl rand -hex 24\)"', command)) == {
        *keys
    }


def test_backups_use_the_image_of_the_database_and_end_before_the_nightly_run():
    image, *others = {each['image'] for each in containers([DATABASE, BACKUP, RESTORE])}
    zone = zoneinfo.ZoneInfo(BACKUP['spec']['timeZone'])
    midnight = datetime.datetime(2026, 11, 21, tzinfo=zone)
    backup, run = (
        next(cronsim.CronSim(each['spec']['schedule'], midnight)) for each in (BACKUP, CRONJOB)
    )

    assert (image.partition(':')[0], others) == ('mariadb', [])
    assert BACKUP['spec']['timeZone'] == CRONJOB['spec']['timeZone']
    assert midnight < backup < run


def test_containers_run_unprivileged_with_limits_and_without_passwords():
    for template in pod_templates(MANIFESTS):
        assert template['metadata']['labels']['sidecar.istio.io/inject'] == 'false'
        pod = template['spec']
        assert pod['securityContext']['runAsNonRoot'] is True
        assert pod['securityContext']['seccompProfile'] == {'type': 'RuntimeDefault'}
        assert pod['automountServiceAccountToken'] is False
    for container in containers(MANIFESTS):
        assert container['securityContext'] == {
            'allowPrivilegeEscalation': False,
            'readOnlyRootFilesystem': True,
            'capabilities': {'drop': ['ALL']},
        }
        assert 'memory' in container['resources']['limits']
        for variable in container.get('env', []):
            assert 'PASSWORD' not in variable['name'] or 'value' not in variable
    assert not any(each['kind'] == 'Secret' for each in MANIFESTS)


def test_cronjob_recipe_is_valid_with_its_options():
    mounts = {each['mountPath']: each for each in RETRAIN_CONTAINER['volumeMounts']}
    assert RETRAIN_CONTAINER['command'] == ['catdog-pipeline']
    assert RETRAIN_CONTAINER['args'][:4] == [
        'run',
        '--if-new',
        '--config',
        '/etc/catdog/recipe.yaml',
    ]

    recipe = KUBERNETES / 'base' / 'cronjob' / 'recipe.yaml'
    arguments = ['config', '--config', str(recipe), *RETRAIN_CONTAINER['args'][4:]]
    values = yaml.safe_load(click.testing.CliRunner().invoke(main, arguments).stdout)

    assert (values['data']['path'], values['workdir']) == ('/data', '/runs')
    assert {'/data', '/runs', '/etc/catdog'} < set(mounts)
    assert mounts['/data']['readOnly'] is True


def instructions(*names: str) -> list[str]:
    """Arguments of the Dockerfile's instructions with these names."""
    text = re.sub(r'^\s*#.*\n', '', DOCKERFILE, flags=re.MULTILINE).replace('\\\n', '')
    lines = (line.split(None, 1) for line in text.splitlines() if line)
    return [' '.join(rest.split()) for name, rest in lines if name in names]


def copied_from_checkout() -> Iterator[tuple[str, str]]:
    """Patterns and targets of the files that the Dockerfile copies from the build context."""
    for copy in instructions('COPY'):
        *sources, target = shlex.split(copy.replace('${TENSORFLOW}', '*'))
        if '--from' not in sources[0]:
            yield from ((source, target) for source in sources)


def test_image_runs_as_unprivileged_user_of_the_pods():
    assert instructions('FROM')[-1] == '${BASE_IMAGE}', 'the final image contains no compiler'
    assert instructions('RUN', 'USER', 'ENTRYPOINT')[-2:] == [
        f'{USER}:{USER}',
        '["catdog-pipeline"]',
    ]
    assert ' CATDOG_USER= ' in instructions('ENV')[-1], 'an override needs the name of a user'
    for pod in pod_specs([CRONJOB, LOADER, OPS]):
        context = pod['securityContext']
        assert context['runAsUser'] == context['runAsGroup'] == context['fsGroup'] == USER


def test_shell_commands_of_the_dockerfile_parse():
    for script in instructions('RUN'):
        subprocess.run(['sh', '-n', '-c', re.sub(r'--mount=\S+ ', '', script)], check=True)


def test_dockerignore_sends_exactly_the_copied_files():
    lines = (DEPLOY / 'Dockerfile.dockerignore').read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith('#')]
    sources = {source for source, _ in copied_from_checkout()}

    assert rules[0] == '*'
    assert {rule[1:] for rule in rules if rule.startswith('!')} == sources
    assert all(any(REPOSITORY.glob(source)) for source in sources)


def locked(name: str) -> set[str]:
    """Packages of a lock, as name==version."""
    text = (REPOSITORY / 'locks' / f'{name}.txt').read_text()
    return set(re.findall(r'^[a-z][^ ]*==[^ ]+', text, re.MULTILINE))


def test_images_contain_the_tested_packages_and_their_own_tensorflow():
    tested, cpu, cuda = locked('current'), locked('current-cpu'), locked('current-cuda')
    (tensorflow,) = tested - cpu

    assert {tensorflow.replace('tensorflow', 'tensorflow-cpu')} == cpu - tested
    assert tested < cuda
    assert all(package.startswith('nvidia-') for package in cuda - tested)


def test_packages_for_keys_of_a_recipe_are_locked():
    (row,) = re.findall(r'.*--build-arg PACKAGES=.*', README)
    names = {'tf2onnx', 'onnx', 'onnxruntime', 's3fs', 'gcsfs', 'mlflow-skinny'}
    assert names <= set(re.findall(r'[a-z0-9-]+', row))
    assert names <= {each.partition('==')[0] for each in locked('current-dev')}
    assert 'PACKAGES=' in instructions('ARG')


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> Path:
    """Wheel built from the files that the Dockerfile copies."""
    folder = tmp_path_factory.mktemp('build')
    for source, target in copied_from_checkout():
        for path in REPOSITORY.glob(source):
            if path.is_dir():
                ignored = shutil.ignore_patterns('__pycache__')
                shutil.copytree(path, folder / target, ignore=ignored)
            else:
                shutil.copy(path, folder / target)
    program = 'import setuptools.build_meta; setuptools.build_meta.build_wheel("dist")'
    subprocess.run([sys.executable, '-c', program], cwd=folder, check=True, capture_output=True)
    (path,) = (folder / 'dist').iterdir()
    return path


def test_wheel_contains_every_file_of_the_packages(wheel):
    files = itertools.chain(*((REPOSITORY / name).rglob('*') for name in PACKAGES))
    expected = {
        str(path.relative_to(REPOSITORY))
        for path in files
        if path.is_file() and path.suffix != '.pyc' and path.name != 'README.md'
    }
    contained = {name for name in zipfile.ZipFile(wheel).namelist() if '.dist-info/' not in name}
    assert contained == {'pipeline_runner.py', *expected}


def test_installed_wheel_runs_outside_the_checkout(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / 'site')
    program = (
        'import importlib.metadata, pipeline_runner\n'
        'print("#", pipeline_runner.__file__)\n'
        '(entry,) = importlib.metadata.entry_points().select(name="catdog-pipeline")\n'
        'entry.load()(["config", "-c", "demo"])'
    )
    environment = {**os.environ, 'PYTHONPATH': str(tmp_path / 'site')}
    command = [sys.executable, '-c', program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    assert done.stdout.startswith(f'# {tmp_path}/site/pipeline_runner.py\n'), done.stderr
    assert yaml.safe_load(done.stdout)['name'] == 'demo'


def read_unit(name: str) -> configparser.ConfigParser:
    """A systemd unit; a repeated key is an error."""
    unit = configparser.ConfigParser(interpolation=None, delimiters='=')
    unit.optionxform = str
    unit.read_string((DEPLOY / 'systemd' / name).read_text().replace('\\\n', ' '))
    return unit


def exec_start(service: str) -> list[str]:
    return shlex.split(read_unit(service)['Service']['ExecStart'])


@pytest.mark.parametrize('name', ['schedule', 'retrain'])
def test_services_run_the_installed_command_in_a_sandbox(name):
    program, command, *options = exec_start(f'catdog-{name}.service')
    options = [each for each in options if each != '--if-new']
    values = dict(itertools.pairwise(options))
    sandbox = read_unit('catdog-.service.d/sandbox.conf')['Service']

    expected = {'schedule': 'schedule', 'retrain': 'run'}[name]
    assert (program, command) == ('/opt/catdog/.venv/bin/catdog-pipeline', expected)
    assert values['--workdir'] == f'/var/lib/{sandbox["StateDirectory"]}'
    assert values['--config'] in README
    assert values['--data'] in README
    assert (sandbox['User'], sandbox['ProtectSystem']) == ('catdog', 'strict')


def test_ticks_neither_overlap_nor_hang_and_record_that_they_are_stopped():
    spec = CRONJOB['spec']
    assert spec['concurrencyPolicy'] == 'Forbid'
    assert spec['jobTemplate']['spec']['activeDeadlineSeconds'] < 24 * 3600
    assert read_unit('catdog-retrain.service')['Service']['KillSignal'] == 'SIGINT'
    assert read_unit('catdog-.service.d/sandbox.conf')['Service']['KillMode'] == 'mixed'
    assert instructions('STOPSIGNAL') == ['SIGINT']
    # An invalid recipe
    assert read_unit('catdog-schedule.service')['Service']['RestartPreventExitStatus'] == '2'


def test_all_schedules_use_the_same_time():
    values = dict(itertools.pairwise(exec_start('catdog-schedule.service')))
    timer = read_unit('catdog-retrain.timer')['Timer']
    cron, zone = CRONJOB['spec']['schedule'], CRONJOB['spec']['timeZone']
    now = datetime.datetime(2026, 11, 21, tzinfo=zoneinfo.ZoneInfo(zone))  # summer time is over

    assert (values['--cron'], values['--timezone']) == (cron, zone)
    assert timer['OnCalendar'] == f'*-*-* {next(cronsim.CronSim(cron, now)):%H:%M:%S} {zone}'
    assert timer['Persistent'] == 'true', 'a missed tick starts at boot'
    assert f'--cron "{cron}" --timezone {zone}' in README


def command_lines() -> Iterator[list[str]]:
    """Arguments of the commands in manifests and units; tests/docs parses those of the pages."""
    yield RETRAIN_CONTAINER['args']
    for name in ('schedule', 'retrain'):
        yield exec_start(f'catdog-{name}.service')[1:]


@pytest.mark.parametrize('arguments', list(command_lines()), ids=shlex.join)
def test_command_line_accepts_the_deployed_commands(arguments):
    command, arguments = main.get_command(None, arguments[0]), arguments[1:]
    if isinstance(command, click.Group) and arguments[0] in command.commands:
        command, arguments = command.commands[arguments[0]], arguments[1:]
    command.make_context(command.name, list(arguments))  # parses without running the command
