"""Submits runs and manages schedules on Kubeflow Pipelines, with any kfp 2.

Imports kfp only in `connect`, and never TFX. All functions raise KubeflowError, with one sentence,
for failed connections, error responses, invalid packages and unknown names.

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
from pipeline.retraining.cron import Schedule

if TYPE_CHECKING:
    import kfp

_PAGE_SIZE = 100


@dataclasses.dataclass(frozen=True)
class SubmittedRun:
    """A submitted run, and the URL of its page."""

    id: str
    url: str


@dataclasses.dataclass(frozen=True)
class ScheduleInfo:
    """A recurring run of Kubeflow.

    Attributes:
        cron: six fields, seconds first, in the time zone of the cluster; '' if the run has an
            interval instead, as schedules of other programs may.
        description: the schedule in words with its time zone, if `create_schedule` created it.
    """

    id: str
    name: str
    cron: str
    enabled: bool
    description: str


def connect(config: ConnectionConfig) -> 'kfp.Client':
    """Connects to the server, and checks its health; all requests have timeouts.

    kfp itself fills in missing values: the host (see `ConnectionConfig`), and namespace and cookie
    from ~/.config/kfp/context.json.

    Raises:
        KubeflowError: a secret is not set, or the server cannot be reached or refuses.
    """
    options = {
        'host': config.host,
        'existing_token': config.token(),
        'cookies': config.cookie(),
        'verify_ssl': config.verify_ssl,
        'ssl_ca_cert': _certificate(config.ca_certificate),
    }
    if config.namespace:  # kfp's default is also part of the in-cluster host name
        options['namespace'] = config.namespace
    try:
        from pipeline.kubeflow.bounded_client import BoundedClient
    except ImportError as error:
        raise KubeflowError(
            f"kfp cannot be imported ({error}); run pip install 'catdog-pipeline[kubeflow]'"
        ) from None
    try:
        with _translate_errors('kfp cannot be set up'):
            client = BoundedClient(**options)
            multi_user = client.get_kfp_healthz().multi_user
    except KubeflowError as error:
        if config.host is None:
            raise KubeflowError(f'{error} (default host, as connection.host is not set)') from None
        raise
    if multi_user and not client.get_user_namespace():
        raise KubeflowError(
            'Kubeflow is multi-user: set connection.namespace to the name of your profile'
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
    """Starts a run of a compiled pipeline; creates the experiment if it does not exist.

    Kubeflow's cache is disabled: TFX has its own, which also notices changes outside of Kubeflow,
    such as new files in a folder.
    """
    with _translate_errors('the run cannot be submitted'):
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
    """Creates a recurring run, and then deletes older ones of the same name in the namespace.

    Runs do not overlap, and missed runs are not repeated. If the server rejects the new schedule,
    the old ones stay. `cluster_timezone` is the time zone in which the cluster evaluates schedules,
    see `Schedule.kubeflow`.

    Raises:
        ConfigError: Kubeflow cannot express the schedule.
        KubeflowError: the schedule was not created, or an old one was not deleted.
    """
    cron = schedule.kubeflow(cluster_timezone)
    old = [each for each in list_schedules(client) if each.name == name]
    with _translate_errors('the schedule cannot be created'):
        created = client.create_recurring_run(
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
            f'the new schedule {name} was created, but an old one was not deleted: {error}'
        ) from None
    return _info(created)


def list_schedules(client: 'kfp.Client') -> list[ScheduleInfo]:
    """Lists all recurring runs of the client's namespace."""
    schedules: list[ScheduleInfo] = []
    token = ''
    with _translate_errors('schedules cannot be listed'):
        namespace = client.get_user_namespace() or None
        while True:
            page = client.list_recurring_runs(
                page_token=token, page_size=_PAGE_SIZE, namespace=namespace
            )
            schedules += [_info(run) for run in page.recurring_runs or []]
            token = page.next_page_token
            if not token:
                return schedules


def delete_schedule(client: 'kfp.Client', name: str) -> list[ScheduleInfo]:
    """Deletes all recurring runs of a name, and returns them.

    Raises:
        KubeflowError: no schedule has this name; the message suggests similar names.
    """
    schedules = list_schedules(client)
    chosen = [each for each in schedules if each.name == name]
    if not chosen:
        names = sorted({each.name for each in schedules})
        close = difflib.get_close_matches(name, names) or names
        hint = f'existing: {", ".join(close)}' if close else 'there are no schedules'
        raise KubeflowError(f'no schedule is named {name}; {hint}')
    _delete(client, chosen)
    return chosen


def _delete(client: 'kfp.Client', schedules: list[ScheduleInfo]) -> None:
    for each in schedules:
        with _translate_errors(f'schedule {each.name} cannot be deleted'):
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
def _translate_errors(problem: str) -> Iterator[None]:
    """Converts exceptions of kfp to KubeflowError, and suppresses its output and warnings."""
    from google.protobuf.json_format import ParseError

    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    except (OSError, ParseError, TypeError, ValueError) as error:
        raise KubeflowError(f'{problem}: {" ".join(str(error).split())}') from None
