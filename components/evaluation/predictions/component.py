"""Predictor component: runs a model once on every test image."""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import List  # noqa: UP035

import numpy as np
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import Artifact, standard_artifacts

from common import console, features
from common.artifacts import SERVED, folder_of
from components.evaluation.predictions.held_out import (
    HELD_OUT_FILE,
    distinct_images,
    find_held_out,
    groups_of,
)
from components.evaluation.predictions.prediction_files import write_predictions
from components.evaluation.predictions.split_images import (
    RecordedImage,
    batches,
    files_of_split,
    read_images,
)
from components.inference.classifier import Classifier, load_classifier
from trainer.training.trained_images import read_trained_images

_log = logging.getLogger(__name__)


class Predictions(Artifact):
    """`predictions.parquet` (`prediction_files`), and `held_out.json` (`held_out.HeldOut`)."""

    TYPE_NAME = 'catdog.Predictions'


@component
def Predictor(
    examples: InputArtifact[List[standard_artifacts.Examples]],  # noqa: UP006  # TFX requires List
    predictions: OutputArtifact[Predictions],
    near_distance: Parameter[int],
    model: InputArtifact[standard_artifacts.Model] = None,
    reference_model: InputArtifact[standard_artifacts.Model] = None,
) -> None:
    """Stores the predictions of `model` for the split `test` of all spans.

    Leaves out the images that `model` or `reference_model`, or a model that one of them started
    from, was trained on: their bytes, a near-duplicate (`near_distance` is that of the ingestion,
    `data.checks`) or an image of their group. The others pass through the model once; everything
    that evaluates it reads the result. The predicted class is the one that the model itself
    exports, with its own threshold. Writes nothing if there is no model, as before the first push.
    """
    if model is None:
        return
    folders = [folder_of(each.uri) for each in examples]
    images = distinct_images([np.load(folder / features.INDEX) for folder in folders])
    models = [each for each in (model, reference_model) if each]
    trained = [read_trained_images(folder_of(each.uri)) for each in models]
    indexes = [each for each in trained if each is not None]
    kept, counts = find_held_out(images, indexes, near_distance)
    folder = folder_of(predictions.uri)
    counts.write(folder / HELD_OUT_FILE)
    if counts.dropped and reference_model:  # else the other Predictor says the same
        _log.info(
            '%s of %s test images left out: a model was trained on them or on similar ones',
            counts.dropped,
            counts.dropped + counts.kept,
        )
    classifier = load_classifier(folder_of(model.uri) / SERVED)
    write_predictions(folder, predict_images(classifier, files_of_split(folders, 'test'), kept))
    digest = hashlib.sha256(images['sha256'].tobytes()).hexdigest()
    predictions.set_string_custom_property(features.TEST_IMAGES, digest)


def predict_images(
    classifier: Classifier, files: Iterable[Path], kept: np.ndarray
) -> Iterator[tuple[RecordedImage, int, np.ndarray]]:
    """Yields images with their predicted labels and probabilities, and shows progress.

    They are those in TFRecord files whose index entries are `kept`, each once, with its group.
    """
    groups = groups_of(kept)
    images = (
        image._replace(group=groups.pop(image.key))
        for image in read_images(files)
        if image.key in groups
    )
    with console.bar('test images', len(kept)) as bar:
        for batch in batches(images):
            contents = [image.contents for image in batch]
            labels, rows = classifier.labels_of(features.SIGNATURE_IMAGES, contents)
            for image, label, row in zip(batch, labels, rows, strict=True):
                yield image, int(label), row
                bar.advance()
