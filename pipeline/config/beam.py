"""The `beam:` section of a recipe, and the pipeline arguments of Beam."""

import os
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from common.strict_model import StrictModel

# Break-even on two cores: several processes take 5 s longer than one at 60,000 images, and
# 11 s less at 120,000; see benchmarks/README.md.
MULTI_PROCESSING_FROM = 80_000

_Key = Annotated[str, Field(pattern='^[a-zA-Z0-9_]+$')]
_CLUSTERS = {
    'portable': 'PortableRunner',
    'flink': 'FlinkRunner',
    'spark': 'SparkRunner',
    'dataflow': 'DataflowRunner',
}
# One option of each group is required; without it Beam would use a cluster on this machine.
_REQUIRED = {
    'portable': (('job_endpoint',),),
    'flink': (('flink_master', 'job_endpoint'),),
    'spark': (('spark_master_url', 'spark_rest_url', 'job_endpoint'),),
    'dataflow': (('project',), ('region',), ('temp_location',)),
}
_RESERVED = {
    *('runner', 'direct_running_mode', 'direct_num_workers'),
    *('s3_access_key_id', 's3_secret_access_key', 's3_session_token'),
}
_RESERVED_HINT = 'use beam.runner and beam.num_workers, and the environment for credentials'
# For each Beam component TFX builds a package of itself, unless an option names one. It has none of
# this project's code, which the workers need; only Dataflow starts this image.
_NO_PACKAGE = {'sdk_container_image': 'none'}
# Imported by a worker before it has threads: one of two that import it may get half of it.
_PRELOAD = {'beam_plugins': 'tensorflow_model_analysis'}


class BeamConfig(StrictModel):
    """The Beam runner and its options."""

    runner: Literal[
        'auto', 'in_memory', 'multi_processing', 'portable', 'flink', 'spark', 'dataflow'
    ] = Field('auto', description='auto: multi_processing for many images, else in_memory')
    num_workers: int | None = Field(
        None, ge=1, le=1024, description='processes of multi_processing; default: one per core'
    )
    options: dict[_Key, Any] = Field(
        {}, description='pipeline options of the runner, such as flink_master'
    )

    @field_validator('options')
    @classmethod
    def _options_have_values(cls, options: dict[str, Any]) -> dict[str, Any]:
        for key, value in options.items():
            values = value if isinstance(value, list) else [value]
            if not values or not all(isinstance(each, bool | int | float | str) for each in values):
                raise ValueError(f'{key} should be a string, a number, a boolean or a list of them')
        return options

    @model_validator(mode='after')
    def _options_fit_the_runner(self) -> 'BeamConfig':
        if self.options and self.runner not in _CLUSTERS:
            raise ValueError(
                f'runner {self.runner} takes no options; those with options: {", ".join(_CLUSTERS)}'
            )
        if self.runner not in ('auto', 'multi_processing') and self.num_workers is not None:
            raise ValueError(f'runner {self.runner} does not use num_workers, but its own options')
        if reserved := sorted(_RESERVED & set(self.options)):
            raise ValueError(f'options.{reserved[0]} cannot be set; {_RESERVED_HINT}')
        for group in _REQUIRED.get(self.runner, ()):
            if not any(self.options.get(key) for key in group):
                names = ' or '.join(f'options.{key}' for key in group)
                raise ValueError(f'runner {self.runner} needs {names}')
        return self


def beam_args(config: BeamConfig, images: int) -> list[str]:
    """Returns the `beam_pipeline_args`; `auto` selects a runner by the number of images."""
    if config.runner in _CLUSTERS:
        package = {} if config.runner == 'dataflow' else _NO_PACKAGE
        runner = {'runner': _CLUSTERS[config.runner]}
        options = {**runner, **_PRELOAD, **package, **config.options}
    elif _in_memory(config, images):
        options = {}  # Beam's defaults; TFX builds no package without arguments
    else:
        options = {
            'direct_running_mode': 'multi_processing',
            'direct_num_workers': _workers(config),
            **_NO_PACKAGE,
        }
    return [argument for key, value in options.items() for argument in _arguments(key, value)]


def _in_memory(config: BeamConfig, images: int) -> bool:
    if config.runner == 'auto':
        return images < MULTI_PROCESSING_FROM or _workers(config) == 1
    return config.runner == 'in_memory'


def _workers(config: BeamConfig) -> int:
    return config.num_workers or len(os.sched_getaffinity(0))


def _arguments(key: str, value: Any) -> list[str]:
    """Formats an option; a flag has no value and is omitted if false, a list is repeated."""
    if isinstance(value, list):
        return [argument for each in value for argument in _arguments(key, each)]
    if isinstance(value, bool):
        return [f'--{key}'] if value else []
    return [f'--{key}={value}']
