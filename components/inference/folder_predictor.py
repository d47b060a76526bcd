"""FolderPredictor component: predicts the classes of a folder of unlabelled images."""

import logging
from pathlib import Path
from typing import Any, Dict  # noqa: UP035  # TFX requires Dict

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.types import Artifact, standard_artifacts

from common import console
from common.artifacts import SERVED, folder_of
from common.blessing import is_blessed
from common.errors import DataError
from common.features import FINGERPRINT
from components.cache_key_driver import OverrideDriver
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.sources.base.listing import fingerprint_of
from components.inference.classifier import Classifier, load_classifier
from components.inference.inference_config import images_in
from components.inference.input_images import read_images
from components.inference.predictions import csv_table, csv_values, predict

FOLDER_PREDICTIONS = 'folder_predictions'  # key of the output
TABLE = 'predictions.csv'

_log = logging.getLogger(__name__)


class FolderPredictions(Artifact):
    """`predictions.csv`, as `predict --csv` prints it; nothing if the model is not blessed."""

    TYPE_NAME = 'catdog.FolderPredictions'


class FolderPredictorDriver(OverrideDriver):
    """Adds a fingerprint of the images and the manual override of the model to the cache key."""

    output = FOLDER_PREDICTIONS

    def external_state(self, execution_info: ExecutionInfo) -> dict[str, str]:
        files = images_in(Path(execution_info.exec_properties['path']))
        return {**super().external_state(execution_info), FINGERPRINT: fingerprint_of(files)}


@component
def FolderPredictor(
    model: InputArtifact[standard_artifacts.Model],
    model_blessing: InputArtifact[standard_artifacts.ModelBlessing],
    folder_predictions: OutputArtifact[FolderPredictions],
    path: Parameter[str],
    checks: Parameter[Dict[str, Any]],  # noqa: UP006
) -> None:
    """Predicts the images in a folder with a model that the gate or a manual override blessed.

    Images are checked and converted as at ingestion; `checks` is a `CheckConfig`.

    Raises:
        DataError: the folder is not readable, or has no usable images.
    """
    if not is_blessed(model.mlmd_artifact, model_blessing.mlmd_artifact):
        _log.info('no predictions: the model is not blessed')
        return
    folder = folder_of(folder_predictions.uri)
    folder.mkdir(parents=True, exist_ok=True)
    classifier = load_classifier(folder_of(model.uri) / SERVED)
    limits = CheckConfig.model_validate(checks)
    count = write_predictions(Path(path), classifier, limits, folder / TABLE)
    _log.info('%s predictions in %s', count, folder / TABLE)


FolderPredictor.DRIVER_CLASS = FolderPredictorDriver


def write_predictions(
    folder: Path, classifier: Classifier, checks: CheckConfig, table: Path
) -> int:
    """Writes a row for each image, with its class or its error; returns how many have a class.

    Raises DataError if none has.
    """
    rows = predict(read_images([str(folder)], checks.max_bytes), classifier, checks)
    predicted, first_error = 0, 'there are none'
    with (
        console.bar('unlabelled images', None) as bar,
        table.open('w', newline='', encoding='utf-8') as file,
    ):
        writer = csv_table(file, classifier.classes)
        for row in rows:
            if 'class' not in row and not predicted:
                first_error = f'{row["path"]}: {row["error"]}'
            writer.writerow(csv_values(row))
            predicted += 'class' in row
            bar.advance()
    if not predicted:
        raise DataError(f'none of the images in {folder} can be used: {first_error}')
    return predicted
