"""Where Beam runs: the `beam:` part of a recipe. Imports neither TensorFlow, TFX nor Beam."""

import os
from typing import Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from common.strict_model import StrictModel

# Where the lines cross that `benchmarks/beam_modes.py` measured on two cores: processes lose 5 s at
# 60,000 images and win 11 s at 120,000; see benchmarks/README.md.
MULTI_PROCESSING_FROM = 80_000

_CLUSTERS = {
    'portable': 'PortableRunner',
    'flink': 'FlinkRunner',
    'spark': 'SparkRunner',
    'dataflow': 'DataflowRunner',
}
# Of each group, one option is needed; without it Beam would look for a cluster on this machine.
_NEEDED = {
    'portable': (('job_endpoint',),),
    'flink': (('flink_master', 'job_endpoint'),),
    'spark': (('spark_master_url', 'spark_rest_url', 'job_endpoint'),),
    'dataflow': (('project',), ('region',), ('temp_location',)),
}
_SET_BY_RECIPE = {
    'runner': 'beam.runner',
    'direct_running_mode': 'beam.runner',
    'direct_num_workers': 'beam.workers',
}
# Any of these says where a worker's code comes from; without one, TFX packs its own source for each
# component that uses Beam, for two seconds, and leaves the package in the temporary folder.
_CODE = (
    'extra_package',
    'extra_packages',
    'setup_file',
    'requirements_file',
    'worker_harness_container_image',
    'sdk_container_image',
)
# Only Dataflow starts an image by this name; elsewhere it just says that the code is there.
_CODE_IS_THERE = {'sdk_container_image': 'none'}
_ENVIRONMENT = ('environment_config', 'environment_option', 'environment_options')
_SCALARS = (bool, int, float, str)


class BeamConfig(StrictModel):
    """Which runner the Beam components use, and its options."""

    runner: Literal[
        'auto', 'in_memory', 'multi_processing', 'portable', 'flink', 'spark', 'dataflow'
    ] = Field('auto', description='auto: multi_processing where the images are many, or in_memory')
    workers: PositiveInt | None = Field(
        None, description='processes of multi_processing; default: one for each core'
    )
    options: dict[str, Any] = Field(
        {}, description="a cluster's own options by their usual names, such as flink_master"
    )

    @field_validator('options')
    @classmethod
    def _options_are_keys_and_values(cls, options: dict[str, Any]) -> dict[str, Any]:
        for key, value in options.items():
            if key.startswith('-') or '=' in key or not key:
                raise ValueError(f'write {key!r} without dashes and as key: value')
            if key in _SET_BY_RECIPE:
                raise ValueError(f'{key} is set by {_SET_BY_RECIPE[key]}')
            values = value if isinstance(value, list) else [value]
            if not values or not all(isinstance(each, _SCALARS) for each in values):
                raise ValueError(f'{key} should be a text, a number, true, false or a list of them')
        return options

    @model_validator(mode='after')
    def _options_fit_the_runner(self) -> 'BeamConfig':
        if self.runner not in _CLUSTERS and self.options:
            raise ValueError(
                f'runner {self.runner} takes no options, got {", ".join(self.options)}; '
                f'runners with options: {", ".join(_CLUSTERS)}'
            )
        if self.runner not in ('auto', 'multi_processing') and self.workers is not None:
            raise ValueError(
                f'runner {self.runner} does not use workers; a cluster has its own options, '
                'such as parallelism or max_num_workers'
            )
        for key in self.options:
            owner = key.partition('_')[0]
            if owner in _CLUSTERS and owner != self.runner:
                raise ValueError(f'options.{key} belongs to runner {owner}, not {self.runner}')
        for group in _NEEDED.get(self.runner, ()):
            if not any(self.options.get(key) for key in group):
                names = ' or '.join(f'options.{key}' for key in group)
                raise ValueError(f'runner {self.runner} needs {names}')
        return self


def beam_args(config: BeamConfig, images: int) -> list[str]:
    """The arguments of every Beam pipeline of a run, as `beam_pipeline_args` takes them.

    Args:
        config: the `beam:` part of a recipe.
        images: of all splits; they decide where the runner is `auto`.
    """
    if config.runner in _CLUSTERS:
        options = {'runner': _CLUSTERS[config.runner], **_code(config), **config.options}
    elif _in_memory(config, images):
        options = {}  # Beam's defaults; and nothing makes TFX pack its source
    else:
        options = {
            'direct_running_mode': 'multi_processing',
            'direct_num_workers': _workers(config),
            **_CODE_IS_THERE,
        }
    return [argument for key, value in options.items() for argument in _arguments(key, value)]


def _in_memory(config: BeamConfig, images: int) -> bool:
    if config.runner == 'auto':
        return images < MULTI_PROCESSING_FROM or _workers(config) == 1
    return config.runner == 'in_memory'


def _workers(config: BeamConfig) -> int:
    return config.workers or len(os.sched_getaffinity(0))


def _code(config: BeamConfig) -> dict[str, str]:
    """Workers in an environment that the recipe names have the code; Beam's own image has not."""
    options = config.options
    named = options.get('environment_type') == 'LOOPBACK' or any(map(options.get, _ENVIRONMENT))
    told = any(map(options.get, _CODE))
    return _CODE_IS_THERE if named and not told and config.runner != 'dataflow' else {}


def _arguments(key: str, value: Any) -> list[str]:
    """Beam's flags have no value: they are there, or not."""
    if isinstance(value, list):
        return [argument for each in value for argument in _arguments(key, each)]
    if isinstance(value, bool):
        return [f'--{key}'] if value else []
    return [f'--{key}={value}']
