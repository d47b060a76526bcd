"""Submits runs and recurring runs to Kubeflow Pipelines 2 with the client that its API generates.

API: https://www.kubeflow.org/docs/components/pipelines/reference/api/kubeflow-pipeline-api-spec/
"""

import contextlib
import json
import re
import textwrap
from collections.abc import Callable
from typing import Any

import kfp_server_api
import urllib3
import yaml

from common.errors import ConfigError, KubeflowError
from pipeline.config.kubeflow import ConnectionConfig
from pipeline.config.recipe import Recipe
from pipeline.kubeflow.compiler import compile_kubeflow
from pipeline.retraining.cron import Schedule

TIMEOUTS = 5, 30  # seconds until the connection, and between parts of the response
_PAGE = {'page_size': 100}
_MAX_MESSAGE_LENGTH = 700  # a missing right is at the end of 400


class KubeflowClient:
    """A connection to Kubeflow Pipelines; all requests have timeouts.

    All methods raise KubeflowError, in one sentence, if the server cannot be reached or refuses;
    the constructor also if a secret is missing, and ConfigError without a host or certificate.
    """

    def __init__(self, config: ConnectionConfig) -> None:
        self._cron_timezone = config.cron_timezone
        self._scope = {'namespace': config.namespace} if config.namespace else {}
        if not config.host:
            raise ConfigError('no host; set kubeflow.connection.host')
        self._host = config.host
        if config.ca_certificate and not config.ca_certificate.is_file():
            raise ConfigError(f'ca_certificate {config.ca_certificate} does not exist')
        settings = kfp_server_api.Configuration(self._host)
        settings.ssl_ca_cert = config.ca_certificate and str(config.ca_certificate)
        settings.retries = urllib3.Retry(0, redirect=False)  # it would send a token to login pages
        token = config.token()
        self._sent = 'token' if token else 'no token'
        self._api = kfp_server_api.ApiClient(settings)
        if token:
            self._api.set_default_header('Authorization', f'Bearer {token}')
        self._experiment_id = self._find_experiment(config.experiment)

    def submit(self, package: str, name: str) -> str:
        """Starts a run of a compiled pipeline, and returns the URL of its page."""
        run = kfp_server_api.V2beta1Run(**self._content(package, name))
        create = kfp_server_api.RunServiceApi(self._api).run_service_create_run
        return f'{self._host}/#/runs/details/{self._call(create, run).run_id}'

    def create_schedule(self, package: str, name: str, schedule: Schedule) -> str:
        """Creates a recurring run, and returns its ID.

        Then deletes older ones of its name in its experiment; they stay if the server refuses. Runs
        train only for a reason, do not overlap, and missed ones are not repeated. Raises
        ConfigError if Kubeflow cannot express the schedule, see `Schedule.kubeflow`.
        """
        cron = kfp_server_api.V2beta1CronSchedule(cron=schedule.kubeflow(self._cron_timezone))
        service = kfp_server_api.RecurringRunServiceApi(self._api)
        query = {**self._named(name), 'experiment_id': self._experiment_id}
        old = self._call(service.recurring_run_service_list_recurring_runs, **query).recurring_runs
        run = kfp_server_api.V2beta1RecurringRun(
            **self._content(package, name, only_when_new=True),
            description=schedule.in_words(),
            trigger=kfp_server_api.V2beta1Trigger(cron_schedule=cron),
            max_concurrency='1',
            no_catchup=True,
            mode='ENABLE',
        )
        created = self._call(service.recurring_run_service_create_recurring_run, run)
        try:
            for each in old or ():
                delete = service.recurring_run_service_delete_recurring_run
                self._call(delete, each.recurring_run_id)
        except KubeflowError as error:
            raise KubeflowError(
                f'the new schedule {name} was created, but an old one was not deleted: {error}'
            ) from None
        return str(created.recurring_run_id)

    def _content(self, package: str, name: str, **parameters: Any) -> dict[str, Any]:
        """The fields that runs and recurring runs have in common."""
        spec, platform = yaml.safe_load_all(package)
        return {
            'experiment_id': self._experiment_id,
            'display_name': name,
            'pipeline_spec': {'pipeline_spec': spec, 'platform_spec': platform},
            'runtime_config': kfp_server_api.V2beta1RuntimeConfig(parameters=parameters),
        }

    def _find_experiment(self, name: str) -> str:
        """The ID of an experiment, which is created if it does not exist."""
        service = kfp_server_api.ExperimentServiceApi(self._api)
        query = self._named(name)
        found = self._call(service.experiment_service_list_experiments, **query).experiments
        if not found:
            new = kfp_server_api.V2beta1Experiment(display_name=name, **self._scope)
            found = [self._call(service.experiment_service_create_experiment, new)]
        return str(found[0].experiment_id)

    def _named(self, name: str) -> dict[str, Any]:
        """The query for the items of a name."""
        equal = {'operation': 'EQUALS', 'key': 'display_name', 'stringValue': name}
        return {'filter': json.dumps({'predicates': [equal]}), **_PAGE, **self._scope}

    def _call(self, method: Callable[..., Any], *arguments: Any, **query: Any) -> Any:
        """Calls a method of the generated client, and returns the model of the response."""
        try:
            response = method(*arguments, _request_timeout=TIMEOUTS, **query)
        except kfp_server_api.ApiException as error:
            problem = self._describe_status(error)
        except UnicodeDecodeError:
            problem = 'returned no text in UTF-8'
        except urllib3.exceptions.HTTPError as error:
            reason = getattr(error, 'reason', None) or error
            problem = f'does not respond: {str(reason).rpartition("): ")[2]}'
            if isinstance(reason, urllib3.exceptions.SSLError):
                problem += '; set connection.ca_certificate, or use http:// without TLS'
        else:
            if self._api.last_response.data.lstrip().startswith('{'):
                return response
            problem = (
                'returned no JSON: a login page, or not the address of the API; '
                f'the request had {self._sent}'
            )
        raise KubeflowError(f'{self._host} {problem}')

    def _describe_status(self, error: kfp_server_api.ApiException) -> str:
        text = re.sub('<[^>]*>', ' ', error.body or '')
        with contextlib.suppress(ValueError, KeyError, TypeError):
            text = str(json.loads(text)['message'])
        text = textwrap.shorten(text, _MAX_MESSAGE_LENGTH) or 'no text'
        if error.status in (301, 302, 303, 307, 308, 401, 403):
            return (
                f'denied access or redirects to a login ({error.status}): the request had '
                f'{self._sent}; response: {text}'
            )
        if error.status == 404:
            text += '; behind the dashboard of Kubeflow the address ends in /pipeline'
        return f'failed ({error.status}): {text}'


def submit_recipe(recipe: Recipe, schedule: Schedule | None = None) -> str:
    """Compiles a recipe, starts a run or makes or replaces its schedule, and returns URL or ID.

    Scheduled runs train only for a reason, such as new images. Raises ConfigError, also if the
    cluster cannot express the schedule, or KubeflowError.
    """
    if schedule:
        schedule.kubeflow(recipe.kubeflow.connection.cron_timezone)  # raises before connecting
    package = compile_kubeflow(recipe)
    client = KubeflowClient(recipe.kubeflow.connection)
    if schedule:
        return client.create_schedule(package, recipe.name, schedule)
    return client.submit(package, recipe.name)
