"""A driver that looks at what changes without TFX, so that a component runs again when it has."""

import abc
import copy
from typing import ClassVar

from tfx.dsl.components.base import base_driver
from tfx.orchestration import data_types_utils
from tfx.orchestration.portable import base_driver as portable_base_driver
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto.orchestration import driver_output_pb2


class LookingDriver(base_driver.BaseDriver, portable_base_driver.BaseDriver):
    """Notes at an artifact that TFX has prepared what was seen: part of the cache's key.

    Attributes:
        output: the key of the artifact.
    """

    output: ClassVar[str]

    @abc.abstractmethod
    def look(self, execution_info: ExecutionInfo) -> dict[str, str]:
        """What to note, by the names of custom properties."""

    def run(self, execution_info: ExecutionInfo) -> driver_output_pb2.DriverOutput:
        """Adds what was seen to the artifact; passes on what the executor is told."""
        result = driver_output_pb2.DriverOutput()
        for name, value in execution_info.exec_properties.items():
            data_types_utils.set_metadata_value(result.exec_properties[name], value)
        (prepared,) = execution_info.output_dict[self.output]
        artifact = copy.deepcopy(prepared.mlmd_artifact)
        for name, noted in self.look(execution_info).items():
            artifact.custom_properties[name].string_value = noted
        result.output_artifacts[self.output].artifacts.append(artifact)
        return result
