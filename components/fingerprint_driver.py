"""A driver that looks at files of others, so that a component runs again when they have changed."""

import abc
import copy
from typing import Any

from tfx.dsl.components.base import base_driver
from tfx.orchestration import data_types_utils
from tfx.orchestration.portable import base_driver as portable_base_driver
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto.orchestration import driver_output_pb2
from tfx.types.standard_component_specs import EXAMPLES_KEY

from components.sources.spans import FINGERPRINT


class FingerprintDriver(base_driver.BaseDriver, portable_base_driver.BaseDriver):
    """Notes at the artifact that TFX has prepared what the files are: part of the cache's key."""

    @abc.abstractmethod
    def fingerprint(self, exec_properties: dict[str, Any]) -> str:
        """Changes when the files do."""

    def run(self, execution_info: ExecutionInfo) -> driver_output_pb2.DriverOutput:
        """Adds the fingerprint to the artifact; passes on what the executor is told."""
        result = driver_output_pb2.DriverOutput()
        for name, value in execution_info.exec_properties.items():
            data_types_utils.set_metadata_value(result.exec_properties[name], value)
        (prepared,) = execution_info.output_dict[EXAMPLES_KEY]
        artifact = copy.deepcopy(prepared.mlmd_artifact)
        noted = self.fingerprint(execution_info.exec_properties)
        artifact.custom_properties[FINGERPRINT].string_value = noted
        result.output_artifacts[EXAMPLES_KEY].artifacts.append(artifact)
        return result
