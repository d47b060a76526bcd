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


def pod_specs(resources: Iterable[Resource]) -> list[Resource]:
    """Specifications of the pods that workloads create."""
    pods = []
    for resource in resources:
        kind, spec = resource['kind'], resource.get('spec', {})
        if kind == 'CronJob':
            spec = spec['jobTemplate']['spec']
        if kind in ('CronJob', 'StatefulSet'):
            spec = spec['template']['spec']
        if kind in ('CronJob', 'StatefulSet', 'Pod'):
            pods.append(spec)
    return pods


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
(RETRAIN_CONTAINER,) = containers([CRONJOB])


@pytest.fixture(scope='module')
def built() -> dict[str, list[Resource]]:
    """Resources of each overlay."""
    command = ['kubectl', 'kustomize']
    return {
        name: list(
            yaml.safe_load_all(
                subprocess.check_output([*command, KUBERNETES / 'overlays' / name], text=True)
            )
        )
        for name in OVERLAYS
    }


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
    for variable in itertools.chain(*(each.get('env', []) for each in pod['containers'])):
        if 'valueFrom' in variable:
            yield 'Secret', variable['valueFrom']['secretKeyRef']['name']


@needs_kubectl
@pytest.mark.parametrize('overlay', OVERLAYS)
def test_overlay_is_valid_and_complete(built, overlay):
    resources = [*built[overlay], LOADER]
    for resource in resources:
        kubernetes_validate.validate(resource, VERSIONS[-1], strict=True)
    for container in containers(resources):
        assert re.fullmatch(r'[\w./-]+:\d[\w.-]*', container['image']), 'an image has a version'
    needed = set(itertools.chain(*map(references, pod_specs(resources))))
    assert needed - set(by_name(resources)) <= {('Secret', 'catdog-metadata')}
    assert 'kubectl create secret generic catdog-metadata ' in README


def test_kubeflow_recipe_matches_the_manifests():
    recipe = load_recipe(str(DEPLOY / 'recipe.yaml'))
    address = parse_address(recipe.metadata.address)
    (secret,) = recipe.kubeflow.secrets
    database = RESOURCES['StatefulSet', 'catdog-metadata']
    (container,) = containers([database])
    environment = {each['name']: each for each in container['env']}
    key = environment['MARIADB_PASSWORD']['valueFrom']['secretKeyRef']
    service = RESOURCES['Service', address.host]['spec']

    assert service['ports'][0]['port'] == address.port
    assert service['selector'] == database['spec']['selector']['matchLabels']
    assert environment['MARIADB_DATABASE']['value'] == address.database
    assert environment['MARIADB_USER']['value'] == address.user
    assert key == {'name': secret.secret, 'key': secret.key}
    assert secret.env == recipe.metadata.password_env
    assert {(volume.claim, str(volume.path)) for volume in recipe.kubeflow.volumes} == {
        ('catdog-runs', str(recipe.workdir)),
        ('catdog-data', str(recipe.data.path)),
    }


def test_containers_run_unprivileged_with_limits_and_without_passwords():
    for pod in pod_specs(MANIFESTS):
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


def test_cronjob_does_not_overlap_hang_or_repeat():
    spec = CRONJOB['spec']
    job = spec['jobTemplate']['spec']

    assert spec['concurrencyPolicy'] == 'Forbid'
    assert spec['startingDeadlineSeconds'] >= 60  # below ten seconds Kubernetes may miss every tick
    assert job['backoffLimit'] <= 1
    assert 0 < job['activeDeadlineSeconds'] < 24 * 3600


def test_cronjob_recipe_is_valid_with_its_options():
    mounts = {each['mountPath']: each for each in RETRAIN_CONTAINER['volumeMounts']}
    assert RETRAIN_CONTAINER['command'] == ['catdog-pipeline']
    assert RETRAIN_CONTAINER['args'][:3] == ['retrain', '--config', '/etc/catdog/recipe.yaml']

    recipe = KUBERNETES / 'base' / 'cronjob' / 'recipe.yaml'
    arguments = ['config', '--config', str(recipe), *RETRAIN_CONTAINER['args'][3:]]
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
    for pod in pod_specs([CRONJOB, LOADER]):
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
    values = dict(itertools.pairwise(options))
    sandbox = read_unit('catdog-.service.d/sandbox.conf')['Service']

    assert (program, command) == ('/opt/catdog/.venv/bin/catdog-pipeline', name)
    assert values['--workdir'] == f'/var/lib/{sandbox["StateDirectory"]}'
    assert values['--config'] in README
    assert values['--data'] in README
    assert (sandbox['User'], sandbox['ProtectSystem']) == ('catdog', 'strict')


def test_services_record_their_result_and_do_not_restart_with_invalid_recipes():
    assert read_unit('catdog-retrain.service')['Service']['KillSignal'] == 'SIGINT'
    assert read_unit('catdog-.service.d/sandbox.conf')['Service']['KillMode'] == 'mixed'
    assert instructions('STOPSIGNAL') == ['SIGINT']
    assert read_unit('catdog-schedule.service')['Service']['RestartPreventExitStatus'] == '2'


def test_all_schedules_use_the_same_time():
    values = dict(itertools.pairwise(exec_start('catdog-schedule.service')))
    timer = read_unit('catdog-retrain.timer')['Timer']
    cron, zone = CRONJOB['spec']['schedule'], CRONJOB['spec']['timeZone']
    now = datetime.datetime.now(zoneinfo.ZoneInfo(zone))

    assert (values['--cron'], values['--timezone']) == (cron, zone)
    assert timer['OnCalendar'] == f'*-*-* {next(cronsim.CronSim(cron, now)):%H:%M:%S} {zone}'
    assert timer['Persistent'] == 'true', 'a missed tick starts at boot'
    assert f'--cron "{cron}" --timezone {zone}' in README


def command_lines() -> Iterator[list[str]]:
    """Arguments of each `catdog-pipeline` command in deploy/."""
    yield RETRAIN_CONTAINER['args']
    for name in ('schedule', 'retrain'):
        yield exec_start(f'catdog-{name}.service')[1:]
    for line in re.findall(r'^ +catdog-pipeline (.+)$', README, re.MULTILINE):
        yield shlex.split(line)


@pytest.mark.parametrize('arguments', list(command_lines()), ids=shlex.join)
def test_command_line_accepts_the_deployed_commands(arguments):
    command: click.Command = main
    while isinstance(command, click.Group) and arguments and arguments[0] in command.commands:
        command, arguments = command.commands[arguments[0]], arguments[1:]

    assert command is not main
    command.make_context(command.name, list(arguments))  # parses without running the command
