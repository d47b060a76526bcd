"""TFX's BulkInferrer, with a table of its answers that a person can read."""

import csv
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import tensorflow as tf
from tfx.components.bulk_inferrer.executor import Executor
from tfx.components.util import model_utils
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto import bulk_inferrer_pb2
from tfx.types import Artifact, BaseChannel, Channel, standard_artifacts
from tfx.types.component_spec import ExecutionParameter
from tfx.types.standard_component_specs import BulkInferrerSpec
from tfx.utils import path_utils

from common import features
from common.artifacts import folder_of
from common.blessing import OVERRIDE, is_blessed, read_override
from components.cache_key_driver import LookingDriver
from components.inference.classifier import Answer, answer_of
from components.inference.model_folder import read_classes

TABLE = 'predictions.csv'
OUTPUT_EXAMPLES = 'output_examples'
_MODEL, _BLESSING = 'model', 'model_blessing'

_log = logging.getLogger(__name__)


class FolderInferrerDriver(LookingDriver):
    """Adds the manual override of the model to the cache key.

    It changes without TFX, which would reuse the output from before it.
    """

    output = OUTPUT_EXAMPLES

    def look(self, execution_info: ExecutionInfo) -> dict[str, str]:
        override = read_override(folder_of(execution_info.input_dict[_MODEL][0].uri))
        return {OVERRIDE: override.model_dump_json()} if override else {}


class FolderInferrerExecutor(Executor):
    """Asks the model if it is blessed, and says what became of it."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the table beside what TFX writes; both stay empty for a model that is not blessed.

        Raises:
            ModelError: the model does not say which classes it knows, or its manual override is
                damaged.
        """
        (model,), (examples,) = input_dict[_MODEL], output_dict[OUTPUT_EXAMPLES]
        by_gate = model_utils.is_model_blessed(input_dict[_BLESSING][0])
        if not is_blessed(folder_of(model.uri), by_gate):
            _log.info('the model is not blessed: no image is answered')
            return
        # Without a blessing TFX asks the model: what it knows of is the gate's alone.
        asked = {name: given for name, given in input_dict.items() if name != _BLESSING}
        super().Do(asked, output_dict, exec_properties)
        classes = read_classes(folder_of(path_utils.serving_model_path(model.uri)))
        folder = folder_of(examples.uri)
        count = write_table(folder, classes)
        _log.info('%s images answered: %s', count, folder / TABLE)


class FolderInferrerSpec(BulkInferrerSpec):
    """What BulkInferrer takes and gives, and the code."""

    PARAMETERS: ClassVar = {
        **BulkInferrerSpec.PARAMETERS,
        'code': ExecutionParameter(type=str),  # part of the cache key
    }


class FolderInferrer(BaseBeamComponent):
    """Asks a model that the gate, or a person, has blessed about images without labels.

    Its output `output_examples` has the records that came in, with the features `probability` and
    `class` that the model gives; beside them stands `predictions.csv`.
    """

    SPEC_CLASS = FolderInferrerSpec
    EXECUTOR_SPEC = BeamExecutorSpec(FolderInferrerExecutor)
    DRIVER_CLASS = FolderInferrerDriver

    def __init__(
        self, examples: BaseChannel, model: BaseChannel, model_blessing: BaseChannel, code: str
    ) -> None:
        """Connects it.

        Args:
            examples: without labels.
            model: of the Trainer.
            model_blessing: of the gate.
            code: hash of the code of this component.
        """
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
    """Writes file, class and its probability of each record, in the order of the files.

    Args:
        folder: of the Examples; the table is written to it.
        classes: names in the order of their labels.

    Returns:
        How many images there are in it.
    """
    rows = sorted(_rows(folder, classes))
    with (folder / TABLE).open('w', newline='', encoding='utf-8') as file:
        table = csv.writer(file)
        table.writerow(('file', 'class', 'probability'))
        table.writerows(rows)
    return len(rows)


def _rows(folder: Path, classes: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    for file in sorted(folder.glob('Split-*/*')):
        for record in tf.data.TFRecordDataset(str(file), 'GZIP').as_numpy_iterator():
            found = tf.train.Example.FromString(record).features.feature
            answer = _answer(found, classes)
            name = found[features.FILENAME].bytes_list.value[0].decode(errors='replace')
            yield name, answer.name or '', f'{answer.probability:.6f}'


def _answer(found: Mapping[str, tf.train.Feature], classes: tuple[str, ...]) -> Answer:
    name = found[features.CLASS].bytes_list.value[0].decode()
    return answer_of(name, found[features.PROBABILITY].float_list.value, classes)
