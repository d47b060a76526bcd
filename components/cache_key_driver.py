"""Drivers that add external state (a file hash, an override) to the cache key."""

import abc
import copy
from typing import ClassVar

from tfx.dsl.components.base import base_driver
from tfx.orchestration.portable import base_driver as portable_base_driver
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto.orchestration import driver_output_pb2

from common.artifacts import folder_of
from common.manual_override import OVERRIDE, read_override


class CacheKeyDriver(base_driver.BaseDriver, portable_base_driver.BaseDriver):
    """Stores external state as custom properties of an output artifact, before the cache lookup."""

    output: ClassVar[str]  # key of the artifact

    @abc.abstractmethod
    def external_state(self, execution_info: ExecutionInfo) -> dict[str, str]:
        """Custom properties that change when the component should run again."""

    def run(self, execution_info: ExecutionInfo) -> driver_output_pb2.DriverOutput:
        """Adds the external state to the output artifact."""
        result = driver_output_pb2.DriverOutput()
        (prepared,) = execution_info.output_dict[self.output]
        artifact = copy.deepcopy(prepared.mlmd_artifact)
        for name, value in self.external_state(execution_info).items():
            artifact.custom_properties[name].string_value = value
        result.output_artifacts[self.output].artifacts.append(artifact)
        return result


class OverrideDriver(CacheKeyDriver):
    """Adds the manual override of the input `model` to the cache key."""

    def external_state(self, execution_info: ExecutionInfo) -> dict[str, str]:
        override = read_override(folder_of(execution_info.input_dict['model'][0].uri))
        return {OVERRIDE: override.model_dump_json()} if override else {}
