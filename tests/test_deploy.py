"""Deployment files, checked without a container engine and without a cluster."""

import configparser
import datetime
import fnmatch
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
import zoneinfo
from collections.abc import Iterator
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
SYSTEMD = DEPLOY / 'systemd'
SERVICES = ('catdog-schedule.service', 'catdog-retrain.service')
README = (DEPLOY / 'README.md').read_text()
OVERLAYS = sorted(path.name for path in (KUBERNETES / 'overlays').iterdir())
KUBERNETES_VERSIONS = [
    version.removesuffix('.0') for version in kubernetes_validate.utils.all_versions()
]
USER = 10001

Resource = dict[str, Any]

needs_kubectl = pytest.mark.skipif(shutil.which('kubectl') is None, reason='needs kubectl')


def documents(path: Path) -> list[Resource]:
    return list(yaml.safe_load_all(path.read_text()))


def kustomize(overlay: str) -> list[Resource]:
    command = ['kubectl', 'kustomize', KUBERNETES / 'overlays' / overlay]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return list(yaml.safe_load_all(done.stdout))


def pod_specs(resources: list[Resource]) -> list[Resource]:
    """Specifications of the pods that workloads create."""
    path_by_kind = {
        'Pod': ['spec'],
        'StatefulSet': ['spec', 'template', 'spec'],
        'CronJob': ['spec', 'jobTemplate', 'spec', 'template', 'spec'],
    }
    pods = []
    for resource in resources:
        if resource['kind'] in path_by_kind:
            for key in path_by_kind[resource['kind']]:
                resource = resource[key]
            pods.append(resource)
    return pods


def containers(resources: list[Resource]) -> Iterator[Resource]:
    for pod in pod_specs(resources):
        yield from (*pod.get('initContainers', []), *pod['containers'])


def by_name(resources: list[Resource]) -> dict[tuple[str, str], Resource]:
    return {(each['kind'], each['metadata']['name']): each for each in resources}


MANIFESTS = [
    resource
    for path in KUBERNETES.rglob('*.yaml')
    if path.name not in ('kustomization.yaml', 'recipe.yaml')
    for resource in documents(path)
]
RESOURCES = by_name(MANIFESTS)
LOADER = RESOURCES['Pod', 'catdog-loader']
CRONJOB = RESOURCES['CronJob', 'catdog-retrain']
(RETRAIN_CONTAINER,) = containers([CRONJOB])


@pytest.fixture(params=OVERLAYS)
def applied(request) -> list[Resource]:
    """Resources of an overlay, and the loader pod."""
    return [*kustomize(request.param), LOADER]


@pytest.mark.parametrize('version', [KUBERNETES_VERSIONS[0], KUBERNETES_VERSIONS[-1]])
def test_manifests_match_kubernetes_schemas(version):
    for resource in MANIFESTS:
        kubernetes_validate.validate(resource, version, strict=True)


@needs_kubectl
def test_overlays_match_kubernetes_schemas(applied):
    for resource in applied:
        kubernetes_validate.validate(resource, KUBERNETES_VERSIONS[-1], strict=True)


@needs_kubectl
def test_every_manifest_is_part_of_an_overlay():
    built = set(itertools.chain(*(by_name(kustomize(overlay)) for overlay in OVERLAYS)))

    assert set(RESOURCES) - {('Pod', 'catdog-loader')} <= built


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
def test_resources_of_pods_exist_or_are_created_with_readme(applied):
    needed = set(itertools.chain(*map(references, pod_specs(applied))))
    missing = needed - set(by_name(applied))

    assert missing <= {('Secret', 'catdog-metadata')}
    assert 'kubectl create secret generic catdog-metadata ' in README


def test_mounted_volumes_are_declared():
    sets = [each['spec'] for each in MANIFESTS if each['kind'] == 'StatefulSet']
    templates = itertools.chain(*(each['volumeClaimTemplates'] for each in sets))
    claimed = {template['metadata']['name'] for template in templates}
    for pod in pod_specs(MANIFESTS):
        mounts = itertools.chain(*(each['volumeMounts'] for each in pod['containers']))
        declared = {volume['name'] for volume in pod['volumes']}
        assert {mount['name'] for mount in mounts} <= declared | claimed


def test_kubeflow_recipe_matches_the_manifests():
    recipe = load_recipe(str(DEPLOY / 'recipe.yaml'))
    address = parse_address(recipe.metadata.address)
    (secret,) = recipe.kubeflow.secrets
    (container,) = containers([RESOURCES['StatefulSet', 'catdog-metadata']])
    environment = {each['name']: each for each in container['env']}
    key = environment['MARIADB_PASSWORD']['valueFrom']['secretKeyRef']

    assert RESOURCES['Service', address.host]['spec']['ports'][0]['port'] == address.port
    assert environment['MARIADB_DATABASE']['value'] == address.database
    assert environment['MARIADB_USER']['value'] == address.user
    assert key == {'name': secret.secret, 'key': secret.key}
    assert secret.env == recipe.metadata.password_env
    assert {(volume.claim, str(volume.path)) for volume in recipe.kubeflow.volumes} == {
        ('catdog-runs', str(recipe.workdir)),
        ('catdog-data', str(recipe.data.path)),
    }
    for volume in recipe.kubeflow.volumes:
        assert ('PersistentVolumeClaim', volume.claim) in RESOURCES


def test_service_selects_the_database_pod():
    service = RESOURCES['Service', 'catdog-metadata']['spec']
    database = RESOURCES['StatefulSet', 'catdog-metadata']['spec']
    ports = database['template']['spec']['containers'][0]['ports']

    assert database['serviceName'] == 'catdog-metadata'
    assert service['selector'] == database['selector']['matchLabels']
    assert service['selector'].items() <= database['template']['metadata']['labels'].items()
    assert {each['name']: each['containerPort'] for each in ports} == {'mysql': 3306}
    assert service['ports'][0]['targetPort'] == 'mysql'


def test_containers_run_unprivileged_as_non_root():
    for pod in pod_specs(MANIFESTS):
        assert pod['securityContext']['runAsNonRoot'] is True
        assert pod['securityContext']['runAsUser'] > 0
        assert pod['securityContext']['runAsGroup'] > 0
        assert pod['securityContext']['seccompProfile'] == {'type': 'RuntimeDefault'}
    for container in containers(MANIFESTS):
        assert container['securityContext'] == {
            'allowPrivilegeEscalation': False,
            'readOnlyRootFilesystem': True,
            'capabilities': {'drop': ['ALL']},
        }


def test_pods_get_no_service_account_token():
    assert not any(pod['automountServiceAccountToken'] for pod in pod_specs(MANIFESTS))
    assert RESOURCES['ServiceAccount', 'catdog']['automountServiceAccountToken'] is False


def test_containers_declare_resources():
    for container in containers(MANIFESTS):
        assert {'cpu', 'memory'} <= container['resources']['requests'].keys()
        assert 'memory' in container['resources']['limits']


@needs_kubectl
def test_images_have_a_version(applied):
    for container in containers(applied):
        assert re.fullmatch(r'[\w./-]+:\d[\w.-]*', container['image'])


def test_manifests_contain_no_password():
    assert not [each for each in MANIFESTS if each['kind'] == 'Secret']
    for container in containers(MANIFESTS):
        for variable in container.get('env', []):
            if 'PASSWORD' in variable['name']:
                assert variable.keys() == {'name', 'valueFrom'}
    for path in KUBERNETES.rglob('kustomization.yaml'):
        assert 'secretGenerator' not in documents(path)[0]


def test_cronjob_mounts_images_read_only():
    (pod,) = pod_specs([CRONJOB])
    mounts = {mount['mountPath']: mount for mount in RETRAIN_CONTAINER['volumeMounts']}
    claims = {each['name']: each.get('persistentVolumeClaim') for each in pod['volumes']}

    assert mounts['/data']['readOnly'] is True
    assert claims['data'] == {'claimName': 'catdog-data', 'readOnly': True}
    assert claims['work'] == {'claimName': 'catdog-runs'}


@needs_kubectl
@pytest.mark.parametrize('overlay', ['kubeflow', 'cronjob'])
def test_one_node_overlay_changes_only_access_modes(overlay):
    resources = by_name(kustomize(f'{overlay}-one-node'))

    assert set(resources) == set(by_name(kustomize(overlay)))
    for claim in ('catdog-runs', 'catdog-data'):
        assert resources['PersistentVolumeClaim', claim]['spec']['accessModes'] == ['ReadWriteOnce']


def test_cronjob_does_not_overlap_hang_or_repeat():
    spec = CRONJOB['spec']
    job = spec['jobTemplate']['spec']

    assert spec['concurrencyPolicy'] == 'Forbid'
    assert spec['startingDeadlineSeconds'] >= 60  # below ten seconds Kubernetes may miss every tick
    assert job['backoffLimit'] <= 1
    assert 0 < job['activeDeadlineSeconds'] < 24 * 3600


def test_cronjob_recipe_is_valid_with_its_options():
    mounts = {mount['mountPath'] for mount in RETRAIN_CONTAINER['volumeMounts']}
    assert RETRAIN_CONTAINER['command'] == ['catdog-pipeline']
    assert RETRAIN_CONTAINER['args'][:3] == ['retrain', '--config', '/etc/catdog/recipe.yaml']

    recipe = KUBERNETES / 'base' / 'cronjob' / 'recipe.yaml'
    arguments = ['config', '--config', str(recipe), *RETRAIN_CONTAINER['args'][3:]]
    done = click.testing.CliRunner().invoke(main, arguments)

    assert done.exit_code == 0, done.output
    values = yaml.safe_load(done.stdout)
    assert (values['data']['source'], values['data']['path']) == ('folder', '/data')
    assert values['workdir'] == '/runs'
    assert {'/data', '/runs', '/etc/catdog'} < mounts


def dockerfile() -> list[tuple[str, str]]:
    """Name and arguments of each instruction of the Dockerfile."""
    lines = (DEPLOY / 'Dockerfile').read_text().splitlines()
    text = '\n'.join(line for line in lines if not line.lstrip().startswith('#'))
    parts = (line.split(None, 1) for line in text.replace('\\\n', '').splitlines() if line)
    return [(name, ' '.join(rest.split())) for name, rest in parts]


def copied_from_checkout() -> list[tuple[list[str], str]]:
    """Sources and target of each COPY from the build context."""
    copies = (shlex.split(rest) for name, rest in dockerfile() if name == 'COPY')
    return [(sources, target) for *sources, target in copies if '--from' not in sources[0]]


def test_dockerfile_stages_are_declared_and_used():
    assert dockerfile()[0] == ('ARG', 'BASE_IMAGE=python:3.10-slim-bookworm')
    stages = [rest.split() for name, rest in dockerfile() if name == 'FROM']
    declared = {'${BASE_IMAGE}'}
    for base, *alias in stages:
        assert base in declared
        declared.update(alias[1:])

    used = set(re.findall(r'(?:--from=|type=bind,from=)(\w+)', (DEPLOY / 'Dockerfile').read_text()))
    assert used == declared - {'${BASE_IMAGE}'}
    assert stages[-1] == ['${BASE_IMAGE}'], 'the final image contains no compiler'


def test_image_runs_as_unprivileged_user():
    instructions = dockerfile()
    start = max(i for i, (name, _) in enumerate(instructions) if name == 'FROM')
    final_stage = dict(instructions[start:])
    names = [name for name, _ in instructions[start:]]

    assert final_stage['USER'] == f'{USER}:{USER}'
    assert 'RUN' not in names[names.index('USER') :], 'root owns the installed files'
    assert final_stage['ENTRYPOINT'] == '["catdog-pipeline"]'


def test_pods_run_as_the_user_of_the_image():
    for pod in pod_specs([CRONJOB, LOADER]):
        context = pod['securityContext']
        assert context['runAsUser'] == context['runAsGroup'] == context['fsGroup'] == USER


def test_locked_packages_are_cached_before_the_code_is_copied():
    lines = [f'{name} {rest}' for name, rest in dockerfile()]
    install = next(i for i, each in enumerate(lines) if '--require-hashes' in each)
    code = next(i for i, each in enumerate(lines) if each.startswith('COPY components'))

    assert install < code
    assert '--compile-bytecode' in lines[install]
    assert not any('PYTHONDONTWRITEBYTECODE' in each for each in lines)


def test_shell_commands_of_the_dockerfile_parse():
    for script in (rest for name, rest in dockerfile() if name == 'RUN'):
        subprocess.run(['sh', '-n', '-c', re.sub(r'--mount=\S+ ', '', script)], check=True)


def test_dockerignore_sends_exactly_the_copied_files():
    lines = (DEPLOY / 'Dockerfile.dockerignore').read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith('#')]
    sent = {rule.removeprefix('!') for rule in rules if rule.startswith('!')}
    sources = set(itertools.chain(*(sources for sources, _ in copied_from_checkout())))

    assert rules[0] == '*'
    assert sent == sources
    assert all((REPOSITORY / source).exists() for source in sources)


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> Path:
    """Wheel built from the files that the Dockerfile copies."""
    folder = tmp_path_factory.mktemp('build')
    for sources, target in copied_from_checkout():
        for source in sources:
            if (REPOSITORY / source).is_dir():
                ignored = shutil.ignore_patterns('__pycache__')
                shutil.copytree(REPOSITORY / source, folder / target, ignore=ignored)
            else:
                shutil.copy(REPOSITORY / source, folder / target)
    program = 'import setuptools.build_meta; setuptools.build_meta.build_wheel("dist")'
    command = [sys.executable, '-c', program]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (path,) = (folder / 'dist').iterdir()
    return path


def test_wheel_contains_every_file_of_the_packages(wheel):
    packages = ('common', 'components', 'configs', 'pipeline', 'trainer')
    files = itertools.chain(*((REPOSITORY / name).rglob('*') for name in packages))
    expected = {str(path.relative_to(REPOSITORY)) for path in files if path.is_file()}
    excluded = [*fnmatch.filter(expected, '*.pyc'), *fnmatch.filter(expected, '*README.md')]

    contained = {name for name in zipfile.ZipFile(wheel).namelist() if '.dist-info/' not in name}
    assert contained == {'pipeline_runner.py', *expected}.difference(excluded)


def test_installed_wheel_runs_outside_the_checkout(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / 'site')
    (tmp_path / 'empty').mkdir()
    program = (
        'import importlib.metadata, pipeline_runner, pipeline.config.recipe\n'
        'print("#", pipeline_runner.__file__, pipeline.config.recipe.RECIPES)\n'
        '(entry,) = importlib.metadata.entry_points().select(name="catdog-pipeline")\n'
        'entry.load()(["config", "-c", "demo"])'
    )
    environment = {**os.environ, 'PYTHONPATH': str(tmp_path / 'site')}
    command = [sys.executable, '-c', program]
    done = subprocess.run(
        command, cwd=tmp_path / 'empty', env=environment, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first == f'# {tmp_path}/site/pipeline_runner.py {tmp_path}/site/configs'
    assert yaml.safe_load(done.stdout)['name'] == 'demo'


def read_unit(name: str) -> configparser.ConfigParser:
    """A systemd unit; a repeated key is an error."""
    unit = configparser.ConfigParser(interpolation=None, delimiters='=')
    unit.optionxform = str
    unit.read_string((SYSTEMD / name).read_text().replace('\\\n', ' '))
    return unit


def exec_start(service: str) -> list[str]:
    return shlex.split(read_unit(service)['Service']['ExecStart'])


@pytest.mark.parametrize('service', SERVICES)
def test_services_run_the_installed_command_on_their_folders(service):
    program, subcommand, *options = exec_start(service)
    values = dict(itertools.pairwise(options))
    sandbox = read_unit('catdog-.service.d/sandbox.conf')['Service']

    assert program == '/opt/catdog/.venv/bin/catdog-pipeline'
    assert subcommand == service.removeprefix('catdog-').removesuffix('.service')
    assert values['--workdir'] == f'/var/lib/{sandbox["StateDirectory"]}'
    assert (values['--config'], values['--data']) == ('/etc/catdog/recipe.yaml', '/srv/catdog/data')
    assert '/etc/catdog/recipe.yaml' in README
    assert '/srv/catdog/data' in README


def test_services_run_in_a_sandbox_as_their_own_user():
    sandbox = read_unit('catdog-.service.d/sandbox.conf')['Service']

    assert sandbox['User'] == 'catdog'
    assert sandbox['ProtectSystem'] == 'strict'
    assert sandbox['NoNewPrivileges'] == sandbox['ProtectHome'] == 'yes'
    assert all(path.name.startswith('catdog-') for path in SYSTEMD.iterdir())


def test_invalid_recipe_does_not_restart_the_service():
    service = read_unit('catdog-schedule.service')['Service']

    assert service['Restart'] == 'on-failure'
    assert service['RestartPreventExitStatus'] == '2'


def test_timer_starts_its_service_after_a_missed_tick():
    timer = read_unit('catdog-retrain.timer')['Timer']

    assert timer['Persistent'] == 'true'
    assert 'Unit' not in timer, 'the timer starts the service of the same name'
    assert (SYSTEMD / 'catdog-retrain.service').is_file()
    assert read_unit('catdog-schedule.service')['Unit']['Conflicts'] == 'catdog-retrain.timer'


def test_all_schedules_use_the_same_time():
    values = dict(itertools.pairwise(exec_start('catdog-schedule.service')))
    calendar = read_unit('catdog-retrain.timer')['Timer']['OnCalendar']
    cron, zone = CRONJOB['spec']['schedule'], CRONJOB['spec']['timeZone']
    now = datetime.datetime.now(zoneinfo.ZoneInfo(zone))

    assert (values['--cron'], values['--timezone']) == (cron, zone)
    assert calendar == f'*-*-* {next(cronsim.CronSim(cron, now)):%H:%M:%S} {zone}'
    assert f'--cron "{cron}" --timezone {zone}' in README


def test_readme_names_every_overlay():
    applied = re.findall(r'kubectl apply -k (deploy/\S+)', README)

    assert applied
    assert all((REPOSITORY / path / 'kustomization.yaml').is_file() for path in applied)
    assert set(re.findall(r'overlays/([\w-]+)', README)) == set(OVERLAYS)


def command_lines() -> Iterator[list[str]]:
    """Arguments of each `catdog-pipeline` command in deploy/."""
    yield RETRAIN_CONTAINER['args']
    for service in SERVICES:
        yield exec_start(service)[1:]
    for line in re.findall(r'^ +catdog-pipeline (.+)$', README, re.MULTILINE):
        yield shlex.split(line)


def parse(command: click.Command, arguments: list[str]) -> None:
    """Parses arguments without running the command."""
    if isinstance(command, click.Group):
        if arguments and arguments[0] in command.commands:
            return parse(command.commands[arguments[0]], arguments[1:])
        assert command.invoke_without_command, f'{arguments}: none of {sorted(command.commands)}'
    context = command.make_context(command.name, list(arguments))
    assert not context.args, f'{command.name} does not know {context.args}'
    return None


@pytest.mark.parametrize('arguments', list(command_lines()), ids=shlex.join)
def test_command_line_accepts_the_deployed_commands(arguments):
    parse(main, arguments)
