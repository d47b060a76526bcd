"""The `beam:` section of a recipe, and the pipeline arguments of Beam."""

import os
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from common.strict_model import StrictModel

# Break-even on two cores, from `benchmarks/beam_modes.py`: several processes take 5 s longer than
# one at 60,000 images, and 11 s less at 120,000; see benchmarks/README.md.
MULTI_PROCESSING_FROM = 80_000

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
_SET_BY_RECIPE = {
    'runner': 'beam.runner',
    'direct_running_mode': 'beam.runner',
    'direct_num_workers': 'beam.num_workers',
}
_SECRETS = ('s3_access_key_id', 's3_secret_access_key', 's3_session_token')
# Options that provide the code of the workers. Without any of them TFX builds a package of itself
# for each Beam component, which takes two seconds and leaves the package in the temporary folder.
_CODE_OPTIONS = (
    'extra_package',
    'extra_packages',
    'setup_file',
    'requirements_file',
    'worker_harness_container_image',
    'sdk_container_image',
)
# Only Dataflow starts this image; for other runners the option only prevents the package.
_NO_PACKAGE = {'sdk_container_image': 'none'}
# Imported by a worker before it has threads: one of two that import it may get half of it.
_PRELOAD = {'beam_plugins': 'tensorflow_model_analysis'}
_ENVIRONMENT = ('environment_config', 'environment_option', 'environment_options')
_SCALARS = (bool, int, float, str)


class BeamConfig(StrictModel):
    """The Beam runner and its options."""

    runner: Literal[
        'auto', 'in_memory', 'multi_processing', 'portable', 'flink', 'spark', 'dataflow'
    ] = Field('auto', description='auto: multi_processing for many images, else in_memory')
    num_workers: int | None = Field(
        None, ge=1, le=1024, description='processes of multi_processing; default: one per core'
    )
    options: dict[str, Any] = Field(
        {}, description='pipeline options of the runner, such as flink_master'
    )

    @field_validator('options')
    @classmethod
    def _options_are_keys_and_values(cls, options: dict[str, Any]) -> dict[str, Any]:
        for key, value in options.items():
            if key.startswith('-') or '=' in key or not key:
                raise ValueError(f'write {key!r} without dashes and as key: value')
            if key in _SET_BY_RECIPE:
                raise ValueError(f'{key} is set by {_SET_BY_RECIPE[key]}')
            if key in _SECRETS:
                raise ValueError(f'{key} is a secret; give it to the workers in their environment')
            values = value if isinstance(value, list) else [value]
            if not values or not all(isinstance(each, _SCALARS) for each in values):
                raise ValueError(f'{key} should be a string, a number, a boolean or a list of them')
        return options

    @model_validator(mode='after')
    def _options_fit_the_runner(self) -> 'BeamConfig':
        if self.runner not in _CLUSTERS and self.options:
            raise ValueError(
                f'runner {self.runner} takes no options, got {", ".join(self.options)}; '
                f'runners with options: {", ".join(_CLUSTERS)}'
            )
        if self.runner not in ('auto', 'multi_processing') and self.num_workers is not None:
            raise ValueError(
                f'runner {self.runner} does not use num_workers; a cluster has its own options, '
                'such as parallelism or max_num_workers'
            )
        for key in self.options:
            owner = key.partition('_')[0]
            if owner in _CLUSTERS and owner != self.runner:
                raise ValueError(f'options.{key} belongs to runner {owner}, not {self.runner}')
        for group in _REQUIRED.get(self.runner, ()):
            if not any(self.options.get(key) for key in group):
                names = ' or '.join(f'options.{key}' for key in group)
                raise ValueError(f'runner {self.runner} needs {names}')
        return self


def beam_args(config: BeamConfig, images: int) -> list[str]:
    """Returns the `beam_pipeline_args`; `auto` selects a runner by the number of images."""
    if config.runner in _CLUSTERS:
        runner = {'runner': _CLUSTERS[config.runner]}
        options = {**runner, **_PRELOAD, **_code_options(config), **config.options}
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


def _code_options(config: BeamConfig) -> dict[str, str]:
    """A worker environment that the recipe names has the code; Beam's default image does not."""
    options = config.options
    loopback = options.get('environment_type') == 'LOOPBACK'
    has_environment = loopback or any(map(options.get, _ENVIRONMENT))
    has_code = any(map(options.get, _CODE_OPTIONS))
    return _NO_PACKAGE if has_environment and not has_code and config.runner != 'dataflow' else {}


def _arguments(key: str, value: Any) -> list[str]:
    """Formats an option; a flag has no value and is omitted if false, a list is repeated."""
    if isinstance(value, list):
        return [argument for each in value for argument in _arguments(key, each)]
    if isinstance(value, bool):
        return [f'--{key}'] if value else []
    return [f'--{key}={value}']
