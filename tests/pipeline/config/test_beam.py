import importlib.util
import logging
import os

import pytest
from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions, StandardOptions
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.runners import create_runner
from pydantic import ValidationError

from pipeline.config.beam import MULTI_PROCESSING_FROM, BeamConfig, beam_args

DATAFLOW = {'project': 'pets', 'region': 'europe-west4', 'temp_location': 'gs://pets/tmp'}
OPTIONS = {
    'portable': {
        'job_endpoint': 'beam:8099',
        'environment_type': 'PROCESS',
        'environment_config': '{"command": "/opt/apache/beam/boot"}',
        'job_server_timeout': 600,
    },
    'flink': {'flink_master': 'flink:8081', 'max_parallelism': 8, 'flink_submit_uber_jar': True},
    'spark': {'spark_master_url': 'spark://spark:7077', 'spark_version': '3'},
    'dataflow': {**DATAFLOW, 'max_num_workers': 10, 'experiments': ['use_runner_v2', 'a=b']},
}
CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ('runner', 'images', 'workers', 'expected'),
    [
        ('auto', MULTI_PROCESSING_FROM - 1, 2, None),
        ('auto', MULTI_PROCESSING_FROM, 2, 2),
        ('auto', MULTI_PROCESSING_FROM, 1, None),
        ('in_memory', MULTI_PROCESSING_FROM, None, None),
        ('multi_processing', 1, None, CORES),
    ],
)
def test_processes_on_this_machine(runner, images, workers, expected):
    parallel = ['--direct_running_mode=multi_processing', f'--direct_num_workers={expected}']

    args = beam_args(BeamConfig(runner=runner, num_workers=workers), images)

    assert args == ([*parallel, '--sdk_container_image=none'] if expected else [])


def test_formats_flags_and_repeats_lists():
    options = {**DATAFLOW, 'no_use_public_ips': True, 'update': False, 'experiments': ['a', 0]}

    assert beam_args(BeamConfig(runner='dataflow', options=options), 1) == [
        '--runner=DataflowRunner',
        '--beam_plugins=tensorflow_model_analysis',
        '--project=pets',
        '--region=europe-west4',
        '--temp_location=gs://pets/tmp',
        '--no_use_public_ips',
        '--experiments=a',
        '--experiments=0',
    ]


@pytest.mark.parametrize('runner', OPTIONS)
def test_beam_accepts_options_of_runner(caplog, runner):
    args = beam_args(BeamConfig(runner=runner, options=OPTIONS[runner]), 1)
    parsed = PipelineOptions(args)

    with caplog.at_level(logging.WARNING):
        known = parsed.get_all_options()

    assert not caplog.records, 'Beam warns of unknown options'
    assert OPTIONS[runner].items() <= known.items()
    beam_runner = create_runner(parsed.view_as(StandardOptions).runner)
    if runner != 'dataflow':  # its validation connects to Google Cloud
        assert PipelineOptionsValidator(parsed, beam_runner).validate() == []
    # TFX builds a package for Dataflow only; workers import libraries before they start threads.
    assert ('--sdk_container_image=none' in args) == (runner != 'dataflow')
    assert all(map(importlib.util.find_spec, parsed.view_as(SetupOptions).beam_plugins))


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'options': {'job_endpoint': 'a:1'}}, 'runner auto takes no options'),
        ({'runner': 'flink', 'num_workers': 2}, 'runner flink does not use num_workers'),
        ({'runner': 'flink'}, r'needs options\.flink_master or options\.job_endpoint'),
        ({'runner': 'spark', 'options': {'spark_master_url': ''}}, r'needs options\.spark_m'),
        ({'runner': 'dataflow', 'options': {'project': 'a'}}, r'needs options\.region'),
        ({'runner': 'flink', 'options': {'runner': 'a'}}, r'options\.runner cannot be set'),
        ({'runner': 'flink', 'options': {'s3_session_token': 'a'}}, 'the environment for cred'),
        ({'options': {'--region': 'a'}}, 'should match pattern'),
    ],
)
def test_rejects_options_that_do_not_fit_the_runner(values, message):
    with pytest.raises(ValidationError, match=message):
        BeamConfig(**values)
