"""Predictor component: runs a model once on every test image."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import List  # noqa: UP035

import numpy as np
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact
from tfx.dsl.component.experimental.decorators import component
from tfx.types import Artifact, standard_artifacts
from tfx.utils import path_utils

from common import console, features
from common.artifacts import folder_of
from components.evaluation.predictions.prediction_files import write_predictions
from components.evaluation.predictions.split_images import (
    RecordedImage,
    batches,
    files_of_split,
    read_images,
)
from components.inference.classifier import Classifier, load_classifier


class Predictions(Artifact):
    """`predictions.parquet`: see `components.evaluation.predictions.prediction_files`."""

    TYPE_NAME = 'catdog.Predictions'


@component
def Predictor(
    examples: InputArtifact[List[standard_artifacts.Examples]],  # noqa: UP006  # TFX requires List
    predictions: OutputArtifact[Predictions],
    model: InputArtifact[standard_artifacts.Model] = None,
) -> None:
    """Stores the predictions of a model for the split `test` of all spans.

    Each image passes through the model once; everything that judges the model reads the result.
    The predicted class is the one that the model itself exports, with its own threshold. Writes
    nothing if there is no model, as before the first push.
    """
    if model is None:
        return
    files = files_of_split([folder_of(each.uri) for each in examples], 'test')
    classifier = load_classifier(folder_of(path_utils.serving_model_path(model.uri)))
    digest = hashlib.sha256()

    def test_images() -> Iterator[RecordedImage]:
        for image in read_images(files):
            digest.update(image.key.encode())
            yield image

    write_predictions(folder_of(predictions.uri), predict_images(classifier, test_images()))
    predictions.set_string_custom_property(features.TEST_IMAGES, digest.hexdigest())


def predict_images(
    classifier: Classifier, images: Iterable[RecordedImage]
) -> Iterator[tuple[RecordedImage, int, np.ndarray]]:
    """Yields each image with the predicted label and the probabilities, for `write_predictions`."""
    with console.bar('test images', None) as bar:
        for batch in batches(images):
            labels, rows = classifier.labels_of_images([image.contents for image in batch])
            for image, label, row in zip(batch, labels, rows, strict=True):
                yield image, int(label), row
                bar.advance()
