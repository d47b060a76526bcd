import importlib.util
import logging
import os

import pytest
from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
)
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.runners import create_runner
from pydantic import ValidationError

from pipeline.config.beam import MULTI_PROCESSING_FROM, BeamConfig, beam_args

DATAFLOW = {'project': 'pets', 'region': 'europe-west4', 'temp_location': 'gs://pets/tmp'}
NEEDED = {
    'portable': {'job_endpoint': 'beam:8099'},
    'flink': {'flink_master': 'flink:8081'},
    'spark': {'spark_master_url': 'spark://spark:7077'},
    'dataflow': DATAFLOW,
}
MULTI_PROCESSING = [
    '--direct_running_mode=multi_processing',
    '--direct_num_workers=2',
    '--sdk_container_image=none',
]


@pytest.mark.parametrize(
    ('images', 'workers', 'args'),
    [
        (MULTI_PROCESSING_FROM - 1, 2, []),
        (MULTI_PROCESSING_FROM, 2, MULTI_PROCESSING),
        (MULTI_PROCESSING_FROM, 1, []),
    ],
)
def test_auto_selects_runner_by_number_of_images_and_workers(images, workers, args):
    assert beam_args(BeamConfig(num_workers=workers), images) == args
    known = PipelineOptions(args).view_as(DirectOptions)
    assert known.direct_running_mode == ('multi_processing' if args else 'in_memory')


@pytest.mark.parametrize('images', [1, MULTI_PROCESSING_FROM])
def test_explicit_runner_ignores_number_of_images(images):
    cores = len(os.sched_getaffinity(0))
    assert beam_args(BeamConfig(runner='in_memory'), images) == []
    assert f'--direct_num_workers={cores}' in beam_args(
        BeamConfig(runner='multi_processing'), images
    )


def test_formats_flags_and_repeats_lists():
    options = {**DATAFLOW, 'no_use_public_ips': True, 'update': False, 'experiments': ['a', 'b=1']}

    assert beam_args(BeamConfig(runner='dataflow', options=options), 1) == [
        '--runner=DataflowRunner',
        '--beam_plugins=tensorflow_model_analysis',
        '--project=pets',
        '--region=europe-west4',
        '--temp_location=gs://pets/tmp',
        '--no_use_public_ips',
        '--experiments=a',
        '--experiments=b=1',
    ]


@pytest.mark.parametrize('runner', NEEDED)
def test_tfx_builds_a_package_for_dataflow_only(runner):
    args = beam_args(BeamConfig(runner=runner, options=NEEDED[runner]), 1)

    assert ('--sdk_container_image=none' in args) == (runner != 'dataflow')


@pytest.mark.parametrize('runner', NEEDED)
def test_workers_of_clusters_import_libraries_before_they_start_threads(runner):
    args = beam_args(BeamConfig(runner=runner, options=NEEDED[runner]), 1)

    plugins = PipelineOptions(args).view_as(SetupOptions).beam_plugins
    assert [importlib.util.find_spec(name) is not None for name in plugins] == [True]


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'runner': 'flnk'}, "'flink'"),
        ({'num_workers': 0}, 'greater than or equal to 1'),
        ({'options': {'job_endpoint': 'a:1'}}, 'runner auto takes no options'),
        ({'runner': 'flink', 'num_workers': 2}, 'runner flink does not use num_workers'),
        ({'runner': 'portable'}, 'runner portable needs options.job_endpoint'),
        ({'runner': 'flink'}, 'needs options.flink_master or options.job_endpoint'),
        ({'runner': 'spark', 'options': {'spark_master_url': ''}}, 'needs options.spark_m'),
        ({'runner': 'dataflow', 'options': {'project': 'a'}}, 'needs options.region'),
        ({'runner': 'flink', 'options': {'runner': 'a'}}, 'options.runner cannot be set; use beam'),
        ({'runner': 'flink', 'options': {'s3_session_token': 'a'}}, 'and the environment for cred'),
        ({'options': {'--region': 'a'}}, 'should match pattern'),
        ({'options': {'region': None}}, 'region should be a string, a number'),
        ({'options': {'experiments': []}}, 'experiments should be a string'),
    ],
)
def test_rejects_invalid_options(values, message):
    with pytest.raises(ValidationError, match=message):
        BeamConfig(**values)


@pytest.mark.parametrize(
    ('runner', 'options'),
    [
        (
            'portable',
            {
                'environment_type': 'PROCESS',
                'environment_config': '{"command": "/opt/apache/beam/boot"}',
                'sdk_worker_parallelism': '3',
                'job_server_timeout': 600,
            },
        ),
        ('flink', {'max_parallelism': 8, 'flink_submit_uber_jar': True}),
        ('spark', {'spark_rest_url': 'http://a', 'spark_version': '3'}),
        ('dataflow', {'max_num_workers': 10, 'experiments': ['use_runner_v2', 'a=b']}),
    ],
)
def test_beam_accepts_options_of_runner(caplog, runner, options):
    given = {**NEEDED[runner], **options}
    parsed = PipelineOptions(beam_args(BeamConfig(runner=runner, options=given), 1))

    with caplog.at_level(logging.WARNING):
        known = parsed.get_all_options()

    assert not caplog.records, 'Beam warns of unknown options'
    assert {key: known[key] for key in given} == given
    beam_runner = create_runner(parsed.view_as(StandardOptions).runner)
    if runner != 'dataflow':  # its validation connects to Google Cloud
        assert PipelineOptionsValidator(parsed, beam_runner).validate() == []
