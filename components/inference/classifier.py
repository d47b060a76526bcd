"""Classifies images with an exported SavedModel."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common import features
from common.errors import ModelError
from components.image_example_gen.sources.base.labels import describe_classes
from components.inference.model_folder import read_classes

Row = dict[str, Any]  # a prediction, as `predict --json` prints it


class Classifier:
    """A loaded SavedModel; `classes` are its class names by label.

    Raises:
        ModelError: the model cannot be loaded, or has no list of classes.
    """

    def __init__(self, folder: Path) -> None:
        self.classes = read_classes(folder)
        self._folder = folder
        try:
            self.model = tf.saved_model.load(str(folder))
        except (OSError, ValueError, LookupError, RuntimeError, tf.errors.OpError) as error:
            reason = ' '.join(str(error).split()) or type(error).__name__
            raise ModelError(f'the model in {folder} cannot be loaded: {reason}') from error

    @property
    def explains(self) -> bool:
        """Whether the model has the signature for heat maps."""
        return features.SIGNATURE_EXPLANATION in self.model.signatures

    @property
    def image_size(self) -> int:
        """Height and width of the input images, in pixels."""
        _, inputs = self.signature(features.SIGNATURE_PIXELS).structured_input_signature
        (pixels,) = inputs.values()
        return int(pixels.shape[1])

    def of_images(self, encoded: Sequence[bytes]) -> list[Row]:
        """Classifies encoded JPEG or PNG images, as `rows_of`."""
        return rows_of(self.outputs(features.SIGNATURE_IMAGES, encoded), self.classes)

    def labels_of(
        self, signature: str, values: Sequence[bytes] | np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels, int64 [batch], -1 for NaN, and probabilities, float32 [batch, classes]."""
        return _decoded(self.outputs(signature, values), self.classes)

    def heat_maps(self, encoded: Sequence[bytes]) -> np.ndarray:
        """Grad-CAM of the predicted class: float32 [batch, height, width], 0 to 1."""
        return self.outputs(features.SIGNATURE_EXPLANATION, encoded)[features.HEAT_MAP]

    def outputs(
        self, signature: str, values: Sequence[bytes | np.ndarray] | np.ndarray
    ) -> dict[str, np.ndarray]:
        """Outputs of a signature by name, each with one row per value.

        Values are files or examples, or pixels, float32 [size, size, 3].
        """
        function = self.signature(signature)
        (argument,) = function.structured_input_signature[1]
        # By name: TensorFlow formats a positional tensor as text, before it accepts it.
        outputs = function(**{argument: tf.constant(values)})
        return {name: np.asarray(output) for name, output in outputs.items()}

    def signature(self, name: str) -> Any:
        """A signature, which does not keep the variables of the model; raises ModelError."""
        if name not in self.model.signatures:
            raise ModelError(f'the model in {self._folder} has no signature {name}')
        return self.model.signatures[name]


def load_classifier(folder: Path) -> Classifier:
    """Loads the SavedModel of an artifact once for the nodes of a run.

    The two last ones stay in memory: the candidate and the reference model. A model that was
    written since is loaded again: runs in a new workdir use the paths of the deleted one.
    """
    file = folder / 'saved_model.pb'
    return _load(folder, file.stat().st_mtime_ns if file.is_file() else 0)


@functools.lru_cache(maxsize=2)
def _load(folder: Path, _: int) -> Classifier:
    return Classifier(folder)


def rows_of(outputs: Mapping[str, np.ndarray], classes: Sequence[str]) -> list[Row]:
    """Class, confidence and probabilities of each image, given the outputs of a signature.

    The predicted class is the first one; values for NaN are None. Raises ModelError for a class
    that is not one of `classes`.
    """
    labels, probabilities = _decoded(outputs, classes)
    pairs = zip(labels.tolist(), probabilities.tolist(), strict=True)
    return [_row(label, values, classes) for label, values in pairs]


def _row(label: int, probabilities: list[float], classes: Sequence[str]) -> Row:
    if label < 0:
        return dict.fromkeys(('class', 'confidence', 'probabilities'))
    values = {name: round(each, 6) for name, each in zip(classes, probabilities, strict=True)}
    predicted = classes[label]
    confidence = values.pop(predicted)
    others = sorted(values.items(), key=lambda pair: -pair[1])
    by_class = {predicted: confidence, **dict(others)}
    return {'class': predicted, 'confidence': confidence, 'probabilities': by_class}


def _decoded(
    outputs: Mapping[str, np.ndarray], classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Labels, int64 [batch], -1 for NaN, and probabilities, float32 [batch, classes].

    Raises ModelError if the model predicts a class that it does not list.
    """
    probabilities = outputs[features.PROBABILITY]
    if probabilities.shape[1] == 1:  # of the second of two classes
        probabilities = np.hstack([1 - probabilities, probabilities])
    places = {name: label for label, name in enumerate(classes)}
    labels = np.full(len(probabilities), -1)
    for number in np.flatnonzero(np.isfinite(probabilities).all(axis=1)):
        name = outputs[features.CLASS].ravel()[number].decode()
        if name not in places:
            raise ModelError(
                f'the model predicts {name!r}, but its {features.CLASSES_FILE} lists '
                f'{describe_classes(classes)}'
            )
        labels[number] = places[name]
    return labels, probabilities
