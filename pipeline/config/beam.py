"""The `beam:` section of a recipe, and the pipeline arguments of Beam."""

import os
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, model_validator

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
# The first is `beam.runner`; a recipe has no credentials.
_RESERVED = ('runner', 's3_access_key_id', 's3_secret_access_key', 's3_session_token')
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
    options: dict[_Key, JsonValue] = Field(
        {}, description='pipeline options of the runner, such as flink_master'
    )

    @model_validator(mode='after')
    def _options_fit_the_runner(self) -> 'BeamConfig':
        if self.options and self.runner not in _CLUSTERS:
            raise ValueError(
                f'runner {self.runner} takes no options; those with options: {", ".join(_CLUSTERS)}'
            )
        if self.runner not in ('auto', 'multi_processing') and self.num_workers is not None:
            raise ValueError(f'runner {self.runner} does not use num_workers, but its own options')
        for key in _RESERVED:
            if key in self.options:
                raise ValueError(
                    f'options.{key} cannot be set; use beam.runner, and the environment for '
                    'credentials'
                )
        for group in _REQUIRED.get(self.runner, ()):
            if not any(self.options.get(key) for key in group):
                names = ' or '.join(f'options.{key}' for key in group)
                raise ValueError(f'runner {self.runner} needs {names}')
        return self


def beam_args(config: BeamConfig, images: int) -> list[str]:
    """Returns the `beam_pipeline_args`; `auto` selects a runner by the number of images."""
    workers = config.num_workers or len(os.sched_getaffinity(0))
    is_small = images < MULTI_PROCESSING_FROM or workers == 1
    if config.runner == 'in_memory' or (config.runner == 'auto' and is_small):
        return []  # Beam's defaults; TFX builds no package without arguments
    options: dict[str, Any] = {
        'direct_running_mode': 'multi_processing',
        'direct_num_workers': workers,
        **_NO_PACKAGE,
    }
    if config.runner in _CLUSTERS:
        package = {} if config.runner == 'dataflow' else _NO_PACKAGE
        runner = {'runner': _CLUSTERS[config.runner]}
        options = {**runner, **_PRELOAD, **package, **config.options}
    return [argument for key, value in options.items() for argument in _arguments(key, value)]


def _arguments(key: str, value: Any) -> list[str]:
    """Formats an option; a flag has no value and is omitted if false, a list is repeated."""
    if isinstance(value, list):
        return [argument for each in value for argument in _arguments(key, each)]
    if value is None or value is False:
        return []
    return [f'--{key}' if value is True else f'--{key}={value}']
