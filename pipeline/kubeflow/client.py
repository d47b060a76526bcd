"""Submits runs and manages schedules with the REST API of Kubeflow Pipelines 2.

API: https://www.kubeflow.org/docs/components/pipelines/reference/api/kubeflow-pipeline-api-spec/
The API is the same in all releases; kfp.Client needs the release of the server and has no timeouts.
"""

import dataclasses
import json
import os
import re
import textwrap
from pathlib import Path
from typing import Any

import requests
import yaml

from common.errors import ConfigError, KubeflowError
from pipeline.config.kubeflow import ConnectionConfig, check_address
from pipeline.retraining.cron import Schedule

TIMEOUTS = 5.0, 30.0  # seconds until the connection, and between parts of the response
_ENDPOINT = 'KF_PIPELINES_ENDPOINT'
_PAGE_SIZE = 100
_MAX_MESSAGE_LENGTH = 300
_MIN_SECRET_LENGTH = 6  # a cookie value such as '1' occurs in every address


@dataclasses.dataclass(frozen=True)
class SubmittedRun:
    """A submitted run, and the URL of its page."""

    id: str
    url: str


@dataclasses.dataclass(frozen=True)
class ScheduleInfo:
    """A recurring run of Kubeflow."""

    id: str
    name: str
    cron: str  # six fields, in the time zone of the cluster; '' if the run has an interval instead
    enabled: bool
    description: str  # the schedule in words, if `create_schedule` created it


class KubeflowClient:
    """A connection to Kubeflow Pipelines; all requests have timeouts.

    All methods raise KubeflowError, in one sentence without secrets, if the server cannot be
    reached or refuses; the constructor also if the host, a secret or the certificate is missing.
    """

    def __init__(self, config: ConnectionConfig) -> None:
        self._config = config
        if config.ca_certificate and not config.ca_certificate.is_file():
            raise ConfigError(f'ca_certificate {config.ca_certificate} does not exist')
        self._host = config.host or _default_host()
        self._secrets = config.secrets()
        self._session = requests.Session()
        self._session.trust_env = False  # a .netrc would replace the token
        self._session.verify = str(config.ca_certificate or '') or config.verify_ssl
        if 'token' in self._secrets:
            self._session.headers['Authorization'] = f'Bearer {self._secrets["token"]}'
        if 'cookie' in self._secrets:
            self._session.headers['Cookie'] = self._secrets['cookie']
        if self._call('GET', 'healthz').get('multi_user') and not config.namespace:
            raise KubeflowError(
                'Kubeflow is multi-user: set connection.namespace to the name of your profile'
            )

    def submit(self, package: Path, name: str, parameters: dict[str, Any]) -> SubmittedRun:
        """Starts a run of a compiled pipeline."""
        run = self._call('POST', 'runs', self._run_body(package, name, parameters))['run_id']
        return SubmittedRun(run, f'{self._host}/#/runs/details/{run}')

    def create_schedule(
        self, package: Path, name: str, parameters: dict[str, Any], schedule: Schedule
    ) -> ScheduleInfo:
        """Creates a recurring run, and then deletes older ones of the same name in the namespace.

        Runs do not overlap, and missed runs are not repeated. If the server rejects the new
        schedule, the old ones stay.

        Raises:
            ConfigError: Kubeflow cannot express the schedule, see `Schedule.kubeflow`.
            KubeflowError: the schedule was not created, or an old one was not deleted.
        """
        cron = schedule.kubeflow(self._config.cron_timezone)
        old = [each for each in self.list_schedules() if each.name == name]
        body = {
            **self._run_body(package, name, parameters),
            'description': schedule.in_words(),
            'trigger': {'cron_schedule': {'cron': cron}},
            'max_concurrency': 1,
            'no_catchup': True,
            'mode': 'ENABLE',
        }
        created = _schedule_info(self._call('POST', 'recurringruns', body))
        try:
            self._delete(old)
        except KubeflowError as error:
            raise KubeflowError(
                f'the new schedule {name} was created, but an old one was not deleted: {error}'
            ) from None
        return created

    def list_schedules(self) -> list[ScheduleInfo]:
        """Lists all recurring runs of the namespace."""
        schedules: list[ScheduleInfo] = []
        query = {'namespace': self._config.namespace, 'page_size': _PAGE_SIZE, 'page_token': ''}
        while True:
            page = self._call('GET', 'recurringruns', query=query)
            schedules += map(_schedule_info, page.get('recurringRuns', []))
            query['page_token'] = page.get('next_page_token')
            if not query['page_token']:
                return schedules

    def delete_schedule(self, name: str) -> list[ScheduleInfo]:
        """Deletes all recurring runs of a name, and returns them; KubeflowError if none has it."""
        schedules = self.list_schedules()
        chosen = [each for each in schedules if each.name == name]
        if not chosen:
            known = ', '.join(sorted({each.name for each in schedules})) or 'none'
            raise KubeflowError(f'no schedule is named {name}; existing: {known}')
        self._delete(chosen)
        return chosen

    def _delete(self, schedules: list[ScheduleInfo]) -> None:
        for each in schedules:
            self._call('DELETE', f'recurringruns/{each.id}')

    def _run_body(self, package: Path, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
        with package.open(encoding='utf-8') as file:
            spec, platform = yaml.safe_load_all(file)
        return {
            'experiment_id': self._experiment_id(),
            'display_name': name,
            'pipeline_spec': {'pipeline_spec': spec, 'platform_spec': platform},
            'runtime_config': {'parameters': parameters},
        }

    def _experiment_id(self) -> str:
        """Finds the experiment, or creates it."""
        name, namespace = self._config.experiment, self._config.namespace
        equal = {'operation': 'EQUALS', 'key': 'display_name', 'stringValue': name}
        query = {'namespace': namespace, 'filter': json.dumps({'predicates': [equal]})}
        found = self._call('GET', 'experiments', query=query).get('experiments')
        body = {'display_name': name, 'namespace': namespace}
        experiment = found[0] if found else self._call('POST', 'experiments', body)
        return str(experiment['experiment_id'])

    def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        query: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Calls the API and returns the JSON of the response."""
        try:
            response = self._session.request(
                method,
                f'{self._host}/apis/v2beta1/{path}',
                params=query,
                json=body,
                timeout=TIMEOUTS,
                allow_redirects=False,  # to a login page, without the cookie
            )
        except requests.RequestException as error:
            problem = f'does not respond: {_describe_failure(error)}'
        else:
            parsed = _parse_object(response)
            if response.ok and parsed is not None:
                return parsed
            problem = self._describe_status(response, parsed)
        raise KubeflowError(self._without_secrets(f'{self._host} {problem}'))

    def _describe_status(self, response: requests.Response, parsed: dict[str, Any] | None) -> str:
        sent = ' and '.join(self._secrets) or 'no token and no cookie'
        credentials = f'the request had {sent}'
        summary = _summarize(response, parsed)
        status = response.status_code
        if response.ok:
            return (
                'returned no JSON: a login page, or not the address of the API; '
                f'{credentials}; response: {summary}'
            )
        if status in (401, 403):
            return f'denied access ({status}): {credentials}; response: {summary}'
        if status == 404 and 'code' not in (parsed or {}):
            return (
                'is not an endpoint of Kubeflow Pipelines 2 (404); behind the dashboard of '
                'Kubeflow the address ends in /pipeline'
            )
        return f'failed ({status}); response: {summary}'

    def _without_secrets(self, text: str) -> str:
        cookies = [pair.partition('=')[2] for pair in self._secrets.get('cookie', '').split(';')]
        for secret in (*self._secrets.values(), *cookies):
            if len(secret) >= _MIN_SECRET_LENGTH:
                text = text.replace(secret, '***')
        return text


def _default_host() -> str:
    host = os.environ.get(_ENDPOINT)
    if not host:
        raise ConfigError(f'no host; set kubeflow.connection.host or ${_ENDPOINT}')
    try:
        return check_address(host)
    except ValueError as error:
        raise ConfigError(f'${_ENDPOINT}: {error}') from None


def _schedule_info(run: dict[str, Any]) -> ScheduleInfo:
    return ScheduleInfo(
        id=run['recurring_run_id'],
        name=run['display_name'],
        cron=run.get('trigger', {}).get('cron_schedule', {}).get('cron', ''),
        enabled=run.get('status', run.get('mode')) in ('ENABLED', 'ENABLE'),
        description=run.get('description', ''),
    )


def _parse_object(response: requests.Response) -> dict[str, Any] | None:
    """Parses a JSON object, as in every response of the API; None for any other body."""
    try:
        parsed = response.json()
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _summarize(response: requests.Response, parsed: dict[str, Any] | None) -> str:
    """The server's message, the target of a redirect, or the text of a web page, on one line."""
    if response.is_redirect:
        text = f'redirect to {response.headers["Location"].partition("?")[0]}'
    elif parsed is None:
        text = re.sub('<[^>]*>', ' ', response.text)
    else:
        text = str(parsed.get('message') or parsed.get('error') or response.text)
    return textwrap.shorten(text, _MAX_MESSAGE_LENGTH) or 'no text'


def _describe_failure(error: requests.RequestException) -> str:
    """Formats the reason why there was no response, such as `Connection refused`."""
    cause: BaseException = error
    while cause.__context__ is not None:
        cause = cause.__context__
    reason = getattr(cause, 'strerror', None) or str(cause)
    if isinstance(error, requests.exceptions.SSLError):
        return f'TLS failed ({reason}); set ca_certificate, or use http:// without TLS'
    return reason
