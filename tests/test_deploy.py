"""What deploy/ holds, offline: no container engine, no cluster, no kustomize."""

import copy
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
from trainer.model.weights import EMBEDDED_FILE

REPOSITORY = Path(__file__).parent.parent
DEPLOY = REPOSITORY / 'deploy'
KUBERNETES = DEPLOY / 'kubernetes'
SYSTEMD = DEPLOY / 'systemd'
README = (DEPLOY / 'README.md').read_text()
OVERLAYS = sorted(path.name for path in (KUBERNETES / 'overlays').iterdir())
USER = 10001
MADE_BY_HAND = {('Secret', 'catdog-metadata')}  # with a command of the README

Resource = dict[str, Any]


def documents(path: Path) -> list[Resource]:
    return list(yaml.safe_load_all(path.read_text()))


def build(folder: Path) -> list[Resource]:
    """What `kubectl kustomize` makes of a folder, for the keys that deploy/ uses.

    Names that kustomize completes with a hash stay as they are.
    """
    (kustomization,) = documents(folder / 'kustomization.yaml')
    resources: list[Resource] = []
    for name in kustomization.pop('resources', []):
        path = folder / name
        resources += build(path) if path.is_dir() else documents(path)
    for generator in kustomization.pop('configMapGenerator', []):
        resources.append(config_map(folder, **generator))
    for component in kustomization.pop('components', []):
        (inner,) = documents(folder / component / 'kustomization.yaml')
        assert inner.pop('kind') == 'Component'
        transform(inner, resources)
    assert kustomization.pop('kind') == 'Kustomization'
    transform(kustomization, resources)
    return resources


def config_map(folder: Path, name: str, files: list[str]) -> Resource:
    assert not any('/' in file or '=' in file for file in files), 'kustomize reads its folder only'
    data = {file: (folder / file).read_text() for file in files}
    return {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': name}, 'data': data}


def transform(kustomization: Resource, resources: list[Resource]) -> None:
    unknown = set(kustomization) - {'apiVersion', 'namespace', 'images', 'patches'}
    assert not unknown, f'build() does not know {unknown}'
    for patch in kustomization.get('patches', []):
        targets = [each for each in resources if each['kind'] == patch['target']['kind']]
        assert targets, f'{patch["target"]} is nowhere'
        for target, operation in itertools.product(targets, yaml.safe_load(patch['patch'])):
            replace(target, **operation)
    for image in kustomization.get('images', []):
        found = [each for each in containers(resources) if each['image'] == image['name']]
        assert found, f'no container has the image {image["name"]}'
        for container in found:
            container['image'] = f'{image["newName"]}:{image["newTag"]}'
    if 'namespace' in kustomization:
        for resource in resources:
            if resource['kind'] != 'Namespace':
                resource['metadata']['namespace'] = kustomization['namespace']


def replace(target: Any, op: str, path: str, value: Any) -> None:
    *parents, last = path.strip('/').split('/')
    for key in parents:
        target = target[key]
    assert op == 'replace'
    assert last in target
    target[last] = copy.deepcopy(value)


def pods(resources: list[Resource]) -> Iterator[Resource]:
    """The specifications of all pods that the resources are or make."""
    for resource in resources:
        if resource['kind'] == 'Pod':
            yield resource['spec']
        elif resource['kind'] == 'StatefulSet':
            yield resource['spec']['template']['spec']
        elif resource['kind'] == 'CronJob':
            yield resource['spec']['jobTemplate']['spec']['template']['spec']


def containers(resources: list[Resource]) -> Iterator[Resource]:
    for pod in pods(resources):
        yield from (*pod.get('initContainers', []), *pod['containers'])


def named(resources: list[Resource]) -> dict[tuple[str, str], Resource]:
    return {(each['kind'], each['metadata']['name']): each for each in resources}


@pytest.fixture(params=OVERLAYS)
def applied(request) -> list[Resource]:
    """All that one overlay brings into a cluster, with the pod that images are copied through."""
    return build(KUBERNETES / 'overlays' / request.param) + documents(KUBERNETES / 'loader.yaml')


@pytest.fixture
def cronjob() -> Resource:
    return named(build(KUBERNETES / 'overlays' / 'cronjob'))['CronJob', 'catdog-retrain']


@pytest.fixture
def retrain(cronjob) -> Resource:
    """The CronJob's container."""
    (container,) = containers([cronjob])
    return container


VERSIONS = [version.removesuffix('.0') for version in kubernetes_validate.utils.all_versions()]


@pytest.mark.parametrize('version', [VERSIONS[0], VERSIONS[-1]])
def test_kubernetes_knows_every_key_of_every_manifest(version):
    overlays = [build(KUBERNETES / 'overlays' / name) for name in OVERLAYS]
    overlays.append(documents(KUBERNETES / 'loader.yaml'))
    different = {str(each): each for each in itertools.chain(*overlays)}

    for resource in different.values():
        kubernetes_validate.validate(resource, version, strict=True)


def test_a_misspelt_key_would_be_noticed(cronjob):
    cronjob['spec']['timezone'] = cronjob['spec'].pop('timeZone')

    with pytest.raises(kubernetes_validate.ValidationError, match='timezone'):
        kubernetes_validate.validate(cronjob, VERSIONS[-1], strict=True)


def test_every_manifest_is_part_of_an_overlay_or_applied_by_hand():
    reached = {KUBERNETES / 'loader.yaml'}
    folders = [KUBERNETES / 'overlays' / name for name in OVERLAYS]
    for folder in folders:  # grows on the way
        path = folder / 'kustomization.yaml'
        reached.add(path)
        (values,) = documents(path)
        files = itertools.chain(*(each['files'] for each in values.get('configMapGenerator', [])))
        for name in (*values.get('resources', []), *values.get('components', []), *files):
            inner = (folder / name).resolve()
            folders.append(inner) if inner.is_dir() else reached.add(inner)

    assert {path for path in KUBERNETES.rglob('*') if path.is_file()} == reached


def references(pod: Resource) -> Iterator[tuple[str, str]]:
    yield 'ServiceAccount', pod['serviceAccountName']
    for volume in pod['volumes']:
        if 'persistentVolumeClaim' in volume:
            yield 'PersistentVolumeClaim', volume['persistentVolumeClaim']['claimName']
        if 'configMap' in volume:
            yield 'ConfigMap', volume['configMap']['name']
        if 'secret' in volume:
            yield 'Secret', volume['secret']['secretName']
    for container in pod['containers']:
        assert 'envFrom' not in container, 'references() does not look there'
        for variable in container.get('env', []):
            for kind, source in variable.get('valueFrom', {}).items():
                yield (
                    {'secretKeyRef': 'Secret', 'configMapKeyRef': 'ConfigMap'}[kind],
                    source['name'],
                )


def test_whatever_a_pod_names_is_there_or_made_by_hand(applied):
    wanted = set(itertools.chain(*map(references, pods(applied))))

    assert wanted <= set(named(applied)) | MADE_BY_HAND


def test_volumes_that_are_mounted_exist(applied):
    sets = [each['spec'] for each in applied if each['kind'] == 'StatefulSet']
    templates = itertools.chain(*(each['volumeClaimTemplates'] for each in sets))
    claimed = {template['metadata']['name'] for template in templates}
    for pod in pods(applied):
        for container in pod['containers']:
            mounted = {mount['name'] for mount in container.get('volumeMounts', [])}
            assert mounted <= {volume['name'] for volume in pod['volumes']} | claimed


def test_what_is_made_by_hand_stands_in_the_readme():
    for kind, name in MADE_BY_HAND:
        assert f'kubectl create {kind.lower()} generic {name} ' in README


def test_the_recipe_finds_claims_database_and_secret_under_their_names():
    resources = named(build(KUBERNETES / 'overlays' / 'kubeflow'))
    service = resources['Service', 'catdog-metadata']
    database = resources['StatefulSet', 'catdog-metadata']
    (container,) = containers([database])
    values = {each['name']: each for each in container['env']}

    assert {('PersistentVolumeClaim', 'catdog-data'), ('PersistentVolumeClaim', 'catdog-runs')} < (
        set(resources)
    )
    assert service['spec']['ports'][0]['port'] == 3306
    assert values['MARIADB_DATABASE']['value'] == 'metadb'
    assert values['MARIADB_USER']['value'] == 'catdog'
    assert values['MARIADB_PASSWORD']['valueFrom']['secretKeyRef'] == {
        'name': 'catdog-metadata',
        'key': 'password',
    }


def test_the_service_reaches_the_database():
    resources = named(build(KUBERNETES / 'overlays' / 'kubeflow'))
    service = resources['Service', 'catdog-metadata']['spec']
    database = resources['StatefulSet', 'catdog-metadata']['spec']
    ports = database['template']['spec']['containers'][0]['ports']

    assert database['serviceName'] == 'catdog-metadata'
    assert service['selector'] == database['selector']['matchLabels']
    assert service['selector'].items() <= database['template']['metadata']['labels'].items()
    assert {each['name']: each['containerPort'] for each in ports} == {'mysql': 3306}
    assert service['ports'][0]['targetPort'] == 'mysql'


def test_no_container_runs_as_root_or_may_become_so(applied):
    for pod in pods(applied):
        assert pod['securityContext']['runAsNonRoot'] is True
        assert pod['securityContext']['runAsUser'] > 0
        assert pod['securityContext']['runAsGroup'] > 0
        assert pod['securityContext']['seccompProfile'] == {'type': 'RuntimeDefault'}
    for container in containers(applied):
        assert container['securityContext'] == {
            'allowPrivilegeEscalation': False,
            'readOnlyRootFilesystem': True,
            'capabilities': {'drop': ['ALL']},
        }


def test_no_pod_is_given_a_token_of_the_cluster(applied):
    assert not any(pod['automountServiceAccountToken'] for pod in pods(applied))
    assert named(applied)['ServiceAccount', 'catdog']['automountServiceAccountToken'] is False


def test_every_container_says_what_memory_it_needs(applied):
    for container in containers(applied):
        assert {'cpu', 'memory'} <= container['resources']['requests'].keys()
        assert 'memory' in container['resources']['limits']


def test_every_image_has_a_version(applied):
    for container in containers(applied):
        assert re.fullmatch(r'[\w./-]+:\d[\w.-]*', container['image'])


def test_no_password_is_in_git(applied):
    assert not [each for each in applied if each['kind'] == 'Secret']
    for container in containers(applied):
        for variable in container.get('env', []):
            if 'PASSWORD' in variable['name']:
                assert variable.keys() == {'name', 'valueFrom'}
    for path in KUBERNETES.rglob('kustomization.yaml'):
        assert 'secretGenerator' not in documents(path)[0]


def test_images_are_only_read_by_what_trains_on_them(cronjob, retrain):
    (pod,) = pods([cronjob])
    mounts = {mount['mountPath']: mount for mount in retrain['volumeMounts']}
    volumes = {volume['name']: volume for volume in pod['volumes']}

    assert mounts['/data']['readOnly'] is True
    assert volumes['data']['persistentVolumeClaim'] == {
        'claimName': 'catdog-data',
        'readOnly': True,
    }
    assert volumes['work']['persistentVolumeClaim'] == {'claimName': 'catdog-runs'}


def test_one_node_is_asked_for_nothing_that_its_storage_cannot_do():
    for name in ('kubeflow', 'cronjob'):
        resources = named(build(KUBERNETES / 'overlays' / f'{name}-one-node'))
        assert set(resources) == set(named(build(KUBERNETES / 'overlays' / name)))
        for claim in ('catdog-runs', 'catdog-data'):
            spec = resources['PersistentVolumeClaim', claim]['spec']
            assert spec['accessModes'] == ['ReadWriteOnce']


def test_ticks_of_the_cronjob_neither_overlap_nor_hang_nor_repeat(cronjob):
    spec = cronjob['spec']
    job = spec['jobTemplate']['spec']

    assert spec['concurrencyPolicy'] == 'Forbid'
    assert spec['startingDeadlineSeconds'] >= 60  # below ten seconds Kubernetes may miss every tick
    assert job['backoffLimit'] <= 1
    assert 0 < job['activeDeadlineSeconds'] < 24 * 3600


def test_the_recipe_of_the_cronjob_is_valid_with_its_options(retrain):
    mounts = {mount['mountPath'] for mount in retrain['volumeMounts']}
    assert retrain['command'] == ['catdog-pipeline']
    assert retrain['args'][:3] == ['retrain', '--config', '/etc/catdog/recipe.yaml']
    assert '/etc/catdog' in mounts

    recipe = KUBERNETES / 'base' / 'cronjob' / 'recipe.yaml'
    arguments = ['config', '--config', str(recipe), *retrain['args'][3:]]
    done = click.testing.CliRunner().invoke(main, arguments)

    assert done.exit_code == 0, done.output
    values = yaml.safe_load(done.stdout)
    assert (values['data']['source'], values['data']['path']) == ('folder', '/data')
    assert values['workdir'] == '/runs'
    assert {'/data', '/runs'} < mounts


def test_the_recipe_for_kubeflow_uses_the_same_folders():
    recipe = load_recipe(str(DEPLOY / 'recipe.yaml'))

    assert (str(recipe.data.path), str(recipe.workdir)) == ('/data', '/runs')


def instructions() -> list[tuple[str, str]]:
    """Name and rest of each instruction of the Dockerfile, without comments."""
    lines = (DEPLOY / 'Dockerfile').read_text().splitlines()
    text = '\n'.join(line for line in lines if not line.lstrip().startswith('#'))
    parts = (line.split(None, 1) for line in text.replace('\\\n', '').splitlines() if line)
    return [(name, ' '.join(rest.split())) for name, rest in parts]


def copied(from_checkout: bool = True) -> list[tuple[list[str], str]]:
    """Sources and target of every COPY."""
    copies = [shlex.split(rest) for name, rest in instructions() if name == 'COPY']
    return [
        (sources, target)
        for *sources, target in copies
        if sources[0].startswith('--from=') is not from_checkout
    ]


def test_the_base_image_is_an_argument():
    order = instructions()

    assert order[0] == ('ARG', 'BASE_IMAGE=python:3.10-slim-bookworm')
    stages = [rest.split() for name, rest in order if name == 'FROM']
    known = {'${BASE_IMAGE}'}
    for base, *alias in stages:
        assert base in known
        known.update(alias[1:])
    assert stages[-1] == ['${BASE_IMAGE}'], 'the last stage starts without compiler and sources'


def test_the_container_does_not_run_as_root():
    order = instructions()
    last_stage = order[max(i for i, (name, _) in enumerate(order) if name == 'FROM') :]
    names = [name for name, _ in last_stage]

    assert [rest for name, rest in last_stage if name == 'USER'] == [f'{USER}:{USER}']
    assert 'RUN' not in names[names.index('USER') :], 'what is installed belongs to root'
    assert last_stage[names.index('ENTRYPOINT')][1] == '["catdog-pipeline"]'


def test_the_pods_run_as_the_user_of_the_image(retrain, cronjob):
    for pod in (*pods([cronjob]), *pods(documents(KUBERNETES / 'loader.yaml'))):
        context = pod['securityContext']
        assert context['runAsUser'] == context['runAsGroup'] == context['fsGroup'] == USER


def test_a_change_of_the_code_does_not_install_the_lock_again():
    names = [f'{name} {rest}' for name, rest in instructions()]
    locked = next(i for i, each in enumerate(names) if '--require-hashes' in each)
    code = next(i for i, each in enumerate(names) if each.startswith('COPY components'))

    assert locked < code
    assert '--compile-bytecode' in names[locked]
    assert not any('PYTHONDONTWRITEBYTECODE' in each for each in names)


def test_the_shell_understands_every_command_of_the_build():
    commands = [rest for name, rest in instructions() if name == 'RUN']

    for command in commands:
        script = re.sub(r'--mount=\S+ ', '', command)
        subprocess.run(['sh', '-n', '-c', script], check=True)


def test_everything_that_is_copied_exists_and_is_sent_to_the_builder():
    lines = (DEPLOY / 'Dockerfile.dockerignore').read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith('#')]
    sent = {rule.removeprefix('!') for rule in rules if rule.startswith('!')}
    sources = list(itertools.chain(*(sources for sources, _ in copied())))

    assert rules[0] == '*', 'nothing is sent but what is named'
    assert sent == set(sources)
    assert all((REPOSITORY / source).exists() for source in sources)


def test_what_later_stages_copy_comes_from_a_stage():
    stages = {rest.split()[2] for name, rest in instructions() if name == 'FROM' and ' AS ' in rest}
    used = {sources[0].removeprefix('--from=') for sources, _ in copied(from_checkout=False)}
    mounted = set(re.findall(r'type=bind,from=(\w+)', (DEPLOY / 'Dockerfile').read_text()))

    assert used | mounted == stages


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> Path:
    """The wheel that the files which the Dockerfile copies give."""
    folder = tmp_path_factory.mktemp('build')
    for sources, target in copied():
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


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    packages = ('common', 'components', 'configs', 'pipeline', 'trainer')
    files = itertools.chain(*((REPOSITORY / name).rglob('*') for name in packages))
    ours = {str(path.relative_to(REPOSITORY)) for path in files if path.is_file()}
    left_out = ('*.pyc', '*README.md')  # the latter are for those who change the code

    assert {name for name in zipfile.ZipFile(wheel).namelist() if '.dist-info/' not in name} == {
        'pipeline_runner.py',
        *(name for name in ours if not any(fnmatch.fnmatch(name, each) for each in left_out)),
    }


def test_the_wheel_brings_the_embedded_weights(wheel):
    name = str(EMBEDDED_FILE.relative_to(REPOSITORY))

    assert zipfile.ZipFile(wheel).read(name) == EMBEDDED_FILE.read_bytes()


def test_the_installed_wheel_answers_in_an_empty_folder(wheel, tmp_path):
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


def unit(name: str) -> dict[str, dict[str, list[str]]]:
    """Sections, keys and values of a systemd unit; a key may stand more than once."""
    sections: dict[str, dict[str, list[str]]] = {}
    lines = (SYSTEMD / name).read_text().replace('\\\n', ' ').splitlines()
    for line in lines:
        if line.startswith('['):
            section = sections.setdefault(line.strip('[]'), {})
        elif line and not line.startswith('#'):
            key, equals, value = line.partition('=')
            assert equals, line
            section.setdefault(key, []).append(value)
    return sections


@pytest.mark.parametrize('name', ['catdog-schedule.service', 'catdog-retrain.service'])
def test_services_run_the_installed_program_on_the_folders_that_they_may_use(name):
    (command,) = unit(name)['Service']['ExecStart']
    program, subcommand, *options = shlex.split(command)
    given = dict(itertools.pairwise(options))
    (sandbox,) = unit('catdog-.service.d/sandbox.conf').values()

    assert program == '/opt/catdog/.venv/bin/catdog-pipeline'
    assert subcommand == name.removeprefix('catdog-').removesuffix('.service')
    assert given['--workdir'] == f'/var/lib/{sandbox["StateDirectory"][0]}'
    assert (given['--config'], given['--data']) == ('/etc/catdog/recipe.yaml', '/srv/catdog/data')
    assert '/etc/catdog/recipe.yaml' in README
    assert '/srv/catdog/data' in README


def test_services_run_as_a_user_that_may_write_to_its_own_folder_only():
    (sandbox,) = unit('catdog-.service.d/sandbox.conf').values()

    assert sandbox['User'] == ['catdog']
    assert sandbox['ProtectSystem'] == ['strict']
    assert sandbox['NoNewPrivileges'] == sandbox['ProtectHome'] == ['yes']
    assert all(fnmatch.fnmatch(path.name, 'catdog-*') for path in SYSTEMD.iterdir())


def test_a_wrong_recipe_does_not_restart_the_service_for_ever():
    service = unit('catdog-schedule.service')['Service']

    assert service['Restart'] == ['on-failure']
    assert service['RestartPreventExitStatus'] == ['2']


def test_the_timer_makes_up_a_missed_tick_of_its_service():
    timer = unit('catdog-retrain.timer')

    assert timer['Timer']['Persistent'] == ['true']
    assert 'Unit' not in timer['Timer'], 'the service of the same name'
    assert (SYSTEMD / 'catdog-retrain.service').is_file()
    assert unit('catdog-schedule.service')['Unit']['Conflicts'] == ['catdog-retrain.timer']


def test_all_schedules_mean_the_same_hour(cronjob):
    (command,) = unit('catdog-schedule.service')['Service']['ExecStart']
    given = dict(itertools.pairwise(shlex.split(command)))
    (calendar,) = unit('catdog-retrain.timer')['Timer']['OnCalendar']
    cron, zone = cronjob['spec']['schedule'], cronjob['spec']['timeZone']
    now = datetime.datetime.now(zoneinfo.ZoneInfo(zone))

    assert (given['--cron'], given['--timezone']) == (cron, zone)
    assert calendar == f'*-*-* {next(cronsim.CronSim(cron, now)):%H:%M:%S} {zone}'
    assert f'--cron "{cron}" --timezone {zone}' in README


def test_the_readme_says_what_every_file_is_for():
    listed = re.findall(r'^\| `([^`]+)` \|', README.partition('## Files\n')[2], re.MULTILINE)
    files = {str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob('*') if path.is_file()}

    assert sorted(listed) == sorted(files - {'README.md'})


def test_the_readme_applies_overlays_that_exist():
    applied = re.findall(r'kubectl apply -k (deploy/\S+)', README)
    mentioned = set(re.findall(r'overlays/([\w-]+)', README))

    assert applied
    assert all((REPOSITORY / path / 'kustomization.yaml').is_file() for path in applied)
    assert mentioned == set(OVERLAYS)


def command_lines() -> Iterator[list[str]]:
    """Every call of catdog-pipeline that deploy/ contains, without the program itself."""
    for container in containers(build(KUBERNETES / 'overlays' / 'cronjob')):
        yield container['args']
    for name in ('catdog-schedule.service', 'catdog-retrain.service'):
        (command,) = unit(name)['Service']['ExecStart']
        yield shlex.split(command)[1:]
    for line in re.findall(r'^ +catdog-pipeline (.+)$', README, re.MULTILINE):
        yield shlex.split(line)


def parse(command: click.Command, arguments: list[str]) -> None:
    """Reads arguments as the command line would, and runs nothing."""
    if isinstance(command, click.Group):
        if arguments and arguments[0] in command.commands:
            return parse(command.commands[arguments[0]], arguments[1:])
        assert command.invoke_without_command, f'{arguments}: none of {sorted(command.commands)}'
    context = command.make_context(command.name, list(arguments))
    assert not context.args, f'{command.name} does not know {context.args}'
    return None


@pytest.mark.parametrize('arguments', list(command_lines()), ids=shlex.join)
def test_the_command_line_accepts_what_deploy_calls(arguments):
    parse(main, arguments)


def test_the_recipe_for_kubeflow_names_what_the_manifests_make():
    recipe = load_recipe(str(DEPLOY / 'recipe.yaml'))
    resources = build(KUBERNETES / 'overlays' / 'kubeflow')
    made = {(each['kind'], each['metadata']['name']) for each in resources}

    for volume in recipe.kubeflow.volumes:
        assert ('PersistentVolumeClaim', volume.claim) in made
    assert ('Service', parse_address(recipe.metadata.address).host) in made
    assert recipe.kubeflow.secrets[0].env == recipe.metadata.password_env
    assert {volume.path for volume in recipe.kubeflow.volumes} == {
        str(recipe.workdir),
        str(recipe.data.path),
    }
