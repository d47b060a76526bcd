"""TFX's BulkInferrer, plus the predictions as a CSV file."""

import csv
import logging
from pathlib import Path
from typing import Any, ClassVar

import tensorflow as tf
from tfx.components.bulk_inferrer.executor import Executor
from tfx.components.util import model_utils
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.proto import bulk_inferrer_pb2
from tfx.types import Artifact, BaseChannel, Channel, standard_artifacts
from tfx.types.component_spec import ExecutionParameter
from tfx.types.standard_component_specs import BulkInferrerSpec
from tfx.utils import path_utils

from common import features
from common.artifacts import folder_of
from common.manual_override import is_blessed
from components.cache_key_driver import OverrideDriver
from components.inference.classifier import to_predicted_class
from components.inference.model_folder import read_classes

TABLE = 'predictions.csv'
OUTPUT_EXAMPLES = 'output_examples'
_BLESSING = 'model_blessing'

_log = logging.getLogger(__name__)


class FolderInferrerDriver(OverrideDriver):
    """Adds the manual override of the model to the cache key."""

    output = OUTPUT_EXAMPLES


class FolderInferrerExecutor(Executor):
    """Runs inference if the model is blessed."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes predictions as tf.Examples and CSV; nothing if the model is not blessed."""
        (model,), (examples,) = input_dict['model'], output_dict[OUTPUT_EXAMPLES]
        by_gate = model_utils.is_model_blessed(input_dict[_BLESSING][0])
        if not is_blessed(folder_of(model.uri), by_gate):
            _log.info('no predictions: the model is not blessed')
            return
        # With the blessing, TFX would apply the gate decision only.
        inputs = {name: artifacts for name, artifacts in input_dict.items() if name != _BLESSING}
        super().Do(inputs, output_dict, exec_properties)
        classes = read_classes(folder_of(path_utils.serving_model_path(model.uri)))
        count = write_table(folder_of(examples.uri), classes)
        _log.info('%s predictions in %s', count, folder_of(examples.uri) / TABLE)


class FolderInferrerSpec(BulkInferrerSpec):
    """BulkInferrerSpec with a hash of the source."""

    PARAMETERS: ClassVar = {
        **BulkInferrerSpec.PARAMETERS,
        'code': ExecutionParameter(type=str),  # part of the cache key
    }


class FolderInferrer(BaseBeamComponent):
    """Classifies unlabelled images with a model that the gate or a manual override blessed.

    The output has the input records with the features `probability` and `class`, and a CSV file.
    """

    SPEC_CLASS = FolderInferrerSpec
    EXECUTOR_SPEC = BeamExecutorSpec(FolderInferrerExecutor)
    DRIVER_CLASS = FolderInferrerDriver

    def __init__(
        self, examples: BaseChannel, model: BaseChannel, model_blessing: BaseChannel, code: str
    ) -> None:
        """Builds the component; `code` is a hash of its source."""
        columns = [
            bulk_inferrer_pb2.PredictOutputCol(output_key=name, output_column=name)
            for name in (features.PROBABILITY, features.CLASS)
        ]
        output = bulk_inferrer_pb2.OutputColumnsSpec(
            predict_output=bulk_inferrer_pb2.PredictOutput(output_columns=columns)
        )
        spec = FolderInferrerSpec(
            examples=examples,
            model=model,
            model_blessing=model_blessing,
            data_spec=bulk_inferrer_pb2.DataSpec(),
            model_spec=bulk_inferrer_pb2.ModelSpec(),
            output_example_spec=bulk_inferrer_pb2.OutputExampleSpec(output_columns_spec=[output]),
            code=code,
            output_examples=Channel(type=standard_artifacts.Examples),
        )
        super().__init__(spec=spec)


def write_table(folder: Path, classes: tuple[str, ...]) -> int:
    """Writes a CSV file next to the Examples, sorted by file; returns the number of rows."""
    rows = []
    for path in sorted(folder.glob('Split-*/*')):
        for record in tf.data.TFRecordDataset(str(path), 'GZIP').as_numpy_iterator():
            values = tf.train.Example.FromString(record).features.feature
            filename = values[features.FILENAME].bytes_list.value[0].decode(errors='replace')
            name = values[features.CLASS].bytes_list.value[0].decode()
            probabilities = values[features.PROBABILITY].float_list.value
            prediction = to_predicted_class(name, probabilities, classes)
            rows.append((filename, prediction.name or '', f'{prediction.probability:.6f}'))
    with (folder / TABLE).open('w', newline='', encoding='utf-8') as file:
        table = csv.writer(file)
        table.writerow(('file', 'class', 'confidence'))
        table.writerows(sorted(rows))
    return len(rows)
