"""TFX's BulkInferrer, with a table of its answers that a person can read."""

import csv
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx.components.bulk_inferrer.component import BulkInferrer
from tfx.components.bulk_inferrer.executor import Executor
from tfx.components.util import model_utils
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto import bulk_inferrer_pb2
from tfx.types import Artifact, BaseChannel
from tfx.utils import path_utils

from common import features
from common.artifacts import folder_of
from common.blessing import read_judgement
from components.cache_key_driver import LookingDriver
from components.inference.classifier import Answer, answer_of
from components.inference.model_folder import read_classes

TABLE = 'predictions.csv'
OUTPUT_EXAMPLES = 'output_examples'
_MODEL, _BLESSING = 'model', 'model_blessing'
_BY_HAND = 'by_hand'  # custom property of the answers: what a person had said of the model

_log = logging.getLogger(__name__)


class FolderInferrerDriver(LookingDriver):
    """Looks what a person says of the model.

    It lies beside the model and changes without TFX, which would take answers, or that there are
    none, from before.
    """

    output = OUTPUT_EXAMPLES

    def look(self, execution_info: ExecutionInfo) -> dict[str, str]:
        judgement = read_judgement(folder_of(execution_info.input_dict[_MODEL][0].uri))
        return {_BY_HAND: judgement.model_dump_json()} if judgement else {}


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
            ModelUnusable: the model does not say which classes it knows.
            JudgementUnreadable: what a person has said of it cannot be read.
        """
        (model,), (examples,) = input_dict[_MODEL], output_dict[OUTPUT_EXAMPLES]
        if not _blessed(model, input_dict[_BLESSING][0]):
            _log.info('the model is not blessed: no image is answered')
            return
        # Without a blessing TFX asks the model: what it knows of is the gate's alone.
        asked = {name: given for name, given in input_dict.items() if name != _BLESSING}
        super().Do(asked, output_dict, exec_properties)
        classes = read_classes(folder_of(path_utils.serving_model_path(model.uri)))
        folder = folder_of(examples.uri)
        count = write_table(folder, classes)
        _log.info('%s images answered: %s', count, folder / TABLE)


def _blessed(model: Artifact, blessing: Artifact) -> bool:
    judgement = read_judgement(folder_of(model.uri))  # a person has the last word
    return judgement.blessed if judgement else model_utils.is_model_blessed(blessing)


class FolderInferrer(BulkInferrer):
    """Asks a model that the gate, or a person, has blessed about images without labels.

    Its output `output_examples` has the records that came in, with the features `probability` and
    `class` that the model gives; beside them stands `predictions.csv`.
    """

    EXECUTOR_SPEC = BeamExecutorSpec(FolderInferrerExecutor)
    DRIVER_CLASS = FolderInferrerDriver

    def __init__(
        self, examples: BaseChannel, model: BaseChannel, model_blessing: BaseChannel
    ) -> None:
        columns = [
            bulk_inferrer_pb2.PredictOutputCol(output_key=name, output_column=name)
            for name in (features.PROBABILITY, features.CLASS)
        ]
        output = bulk_inferrer_pb2.OutputColumnsSpec(
            predict_output=bulk_inferrer_pb2.PredictOutput(output_columns=columns)
        )
        super().__init__(
            examples=examples,
            model=model,
            model_blessing=model_blessing,
            output_example_spec=bulk_inferrer_pb2.OutputExampleSpec(output_columns_spec=[output]),
        )


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
