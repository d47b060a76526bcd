"""Runs and schedules on Kubeflow Pipelines, by the client of whichever kfp 2 is installed.

kfp is imported when `connect` is called, TFX never. Every function raises KubeflowError, with one
sentence, for whatever goes wrong between here and the server, and for packages and names.

API: https://www.kubeflow.org/docs/components/pipelines/reference/api/kubeflow-pipeline-api-spec/
"""

import contextlib
import dataclasses
import difflib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import KubeflowError
from pipeline.config.kubeflow_connection import ConnectionConfig
from pipeline.kubeflow.package import require_package
from pipeline.retraining.cron import Schedule

if TYPE_CHECKING:
    import kfp

__all__ = [
    'ConnectionConfig',
    'KubeflowError',
    'ScheduleInfo',
    'SubmittedRun',
    'connect',
    'create_schedule',
    'delete_schedule',
    'list_schedules',
    'submit',
]

_PAGE = 100


@dataclasses.dataclass(frozen=True)
class SubmittedRun:
    """A run that Kubeflow has accepted; `url` is its page."""

    id: str
    url: str


@dataclasses.dataclass(frozen=True)
class ScheduleInfo:
    """A recurring run as Kubeflow knows it.

    Attributes:
        cron: six fields, seconds first, in the time zone of the cluster; '' where it goes by an
            interval instead, which nothing here makes.
        description: for those made here, the schedule in words with its time zone.
    """

    id: str
    name: str
    cron: str
    enabled: bool
    description: str


def connect(config: ConnectionConfig) -> 'kfp.Client':
    """A client that has reached the server once; no request of it waits for ever.

    What `config` leaves open kfp looks up itself: the host (see there), and namespace and cookie
    in ~/.config/kfp/context.json.

    Raises:
        KubeflowError: a secret is not set, or the server is not reached or refuses.
    """
    options = {
        'host': config.host,
        'existing_token': config.token(),
        'cookies': config.cookie(),
        'verify_ssl': config.verify_ssl,
        'ssl_ca_cert': _certificate(config.ca_certificate),
    }
    if config.namespace:  # kfp's own default also names the service inside of the cluster
        options['namespace'] = config.namespace
    try:
        from pipeline.kubeflow.bounded_client import BoundedClient
    except ImportError as error:
        raise KubeflowError(
            f"kfp cannot be imported ({error}); pip install 'catdog-pipeline[kubeflow]' brings it"
        ) from None
    try:
        with _in_one_sentence('kfp cannot be set up'):
            client = BoundedClient(**options)
            several_users = client.get_kfp_healthz().multi_user
    except KubeflowError as error:
        if config.host is None:
            raise KubeflowError(f'{error} (no host was given, so this one was guessed)') from None
        raise
    if several_users and not client.get_user_namespace():
        raise KubeflowError(
            'Kubeflow has several users here: give namespace, the name of your profile'
        )
    return client


def submit(
    client: 'kfp.Client',
    package: Path,
    *,
    name: str,
    parameters: dict[str, Any],
    experiment: str = 'Default',
) -> SubmittedRun:
    """Starts one run of a compiled pipeline, and makes the experiment if there is none.

    Kubeflow's own cache is off: TFX looks in its metadata itself, also for what Kubeflow cannot
    see, such as new files in a folder.
    """
    require_package(package)
    with _in_one_sentence(f'{package} cannot be submitted'):
        run = client.run_pipeline(
            _experiment_id(client, experiment), name, str(package), parameters, enable_caching=False
        )
        return SubmittedRun(run.run_id, f'{client._get_url_prefix()}/#/runs/details/{run.run_id}')


def create_schedule(
    client: 'kfp.Client',
    package: Path,
    *,
    name: str,
    schedule: Schedule,
    parameters: dict[str, Any],
    experiment: str = 'Default',
    cluster_timezone: str = 'UTC',
) -> ScheduleInfo:
    """Makes a recurring run, in place of every one of that name in the namespace.

    One run at a time, and missed ones are not made up for. The old ones go only after the new one
    stands, so that whatever is refused leaves them as they are. `cluster_timezone` is the one in
    which the cluster reads schedules, see `Schedule.kubeflow`.

    Raises:
        ConfigError: Kubeflow cannot run at these times.
        KubeflowError: nothing has changed; or, as it then says, an old schedule is left.
    """
    cron = schedule.kubeflow(cluster_timezone)
    require_package(package)
    old = [each for each in list_schedules(client) if each.name == name]
    with _in_one_sentence(f'{package} cannot be scheduled'):
        made = client.create_recurring_run(
            _experiment_id(client, experiment),
            name,
            description=schedule.in_words(),
            cron_expression=cron,
            max_concurrency=1,
            no_catchup=True,
            params=parameters,
            pipeline_package_path=str(package),
            enabled=True,
            enable_caching=False,
        )
    try:
        _delete(client, old)
    except KubeflowError as error:
        raise KubeflowError(
            f'the new schedule {name} stands, but an old one is left beside it: {error}'
        ) from None
    return _info(made)


def list_schedules(client: 'kfp.Client', *, experiment: str | None = None) -> list[ScheduleInfo]:
    """All recurring runs of the client's namespace, or of one experiment in it, page by page."""
    found: list[ScheduleInfo] = []
    token = ''
    with _in_one_sentence('schedules cannot be listed'):
        namespace = client.get_user_namespace() or None
        where = {'namespace': namespace}
        if experiment is not None:
            chosen = client.get_experiment(experiment_name=experiment, namespace=namespace)
            where = {'experiment_id': chosen.experiment_id}
        while True:
            page = client.list_recurring_runs(page_token=token, page_size=_PAGE, **where)
            found += [_info(run) for run in page.recurring_runs or []]
            token = page.next_page_token
            if not token:
                return found


def delete_schedule(client: 'kfp.Client', name: str) -> list[ScheduleInfo]:
    """Deletes every recurring run of that name, and returns what they were.

    Raises:
        KubeflowError: none has that name; it says which are close.
    """
    schedules = list_schedules(client)
    chosen = [each for each in schedules if each.name == name]
    if not chosen:
        names = sorted({each.name for each in schedules})
        close = difflib.get_close_matches(name, names) or names
        there = f'there is {" and ".join(close)}' if close else 'there is none at all'
        raise KubeflowError(f'no schedule is named {name}; {there}')
    _delete(client, chosen)
    return chosen


def _delete(client: 'kfp.Client', schedules: list[ScheduleInfo]) -> None:
    for each in schedules:
        with _in_one_sentence(f'schedule {each.name} cannot be deleted'):
            client.delete_recurring_run(each.id)


def _experiment_id(client: 'kfp.Client', name: str) -> str:
    namespace = client.get_user_namespace() or None
    return client.create_experiment(name, namespace=namespace).experiment_id


def _info(run: Any) -> ScheduleInfo:
    cron = run.trigger.cron_schedule if run.trigger else None
    return ScheduleInfo(
        id=run.recurring_run_id,
        name=run.display_name,
        cron=(cron.cron if cron else None) or '',
        enabled=(run.status or run.mode) in ('ENABLED', 'ENABLE'),
        description=run.description or '',
    )


def _certificate(path: Path | None) -> str | None:
    if path is not None and not path.is_file():
        raise KubeflowError(f'ca_certificate {path} does not exist')
    return None if path is None else str(path)


@contextlib.contextmanager
def _in_one_sentence(what: str) -> Iterator[None]:
    """Keeps kfp from printing links and warnings, and says its own exceptions as one sentence."""
    from google.protobuf.json_format import ParseError

    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    except (OSError, ParseError, TypeError, ValueError) as error:
        raise KubeflowError(f'{what}: {" ".join(str(error).split())}') from None
