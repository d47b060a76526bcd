"""What an exported model answers to images, as a person reads it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from common import features
from common.errors import ModelError
from components.inference.model_folder import read_classes

_NAMED = 8  # classes in an error


class Answer(NamedTuple):
    """What a model says of an image.

    Attributes:
        name: of the class; None if its probability is no number.
        probability: that the model gives to this class.
    """

    name: str | None
    probability: float


class Classifier:
    """An exported model.

    Args:
        folder: of the SavedModel.

    Attributes:
        classes: names in the order of their labels.

    Raises:
        ModelError: it cannot be loaded, or does not say which classes it knows.
    """

    def __init__(self, folder: Path) -> None:
        self.classes = read_classes(folder)
        self._folder = folder
        try:
            self._model = tf.saved_model.load(str(folder))
        except (OSError, ValueError, LookupError, RuntimeError, tf.errors.OpError) as error:
            reason = ' '.join(str(error).split()) or type(error).__name__
            raise ModelError(f'the model in {folder} cannot be loaded: {reason}') from error

    @property
    def explains(self) -> bool:
        """Whether it can say what it looks at."""
        return features.SIGNATURE_EXPLANATION in self._model.signatures

    @property
    def image_size(self) -> int:
        """Height and width of the pixels that it takes."""
        (pixels,) = (
            self._signature(features.SIGNATURE_PIXELS).structured_input_signature[1].values()
        )
        return int(pixels.shape[1])

    def of_images(self, encoded: Sequence[bytes]) -> list[Answer]:
        """Answers to the bytes of JPEG or PNG files."""
        return self._answers(features.SIGNATURE_IMAGES, tf.constant(encoded))

    def of_pixels(self, pixels: np.ndarray) -> list[Answer]:
        """Answers to uint8 [batch, size, size, 3] as preprocessing gives them."""
        given = tf.constant(pixels.astype(np.float32))
        return self._answers(features.SIGNATURE_PIXELS, given)

    def heat_maps(self, encoded: Sequence[bytes]) -> np.ndarray:
        """What speaks for the class that is said: float32 [batch, height, width], 0 to 1."""
        outputs = self._signature(features.SIGNATURE_EXPLANATION)(tf.constant(encoded))
        return np.asarray(outputs[features.HEAT_MAP])

    def _answers(self, signature: str, given: tf.Tensor) -> list[Answer]:
        outputs = self._signature(signature)(given)
        names = np.asarray(outputs[features.CLASS]).ravel()
        probabilities = np.asarray(outputs[features.PROBABILITY])
        rows = zip(names, probabilities, strict=True)
        return [answer_of(name.decode(), row, self.classes) for name, row in rows]

    def _signature(self, name: str) -> Any:
        if name not in self._model.signatures:
            raise ModelError(f'the model in {self._folder} has no signature {name}')
        return self._model.signatures[name]


def answer_of(name: str, probabilities: Sequence[float], classes: Sequence[str]) -> Answer:
    """What a person is told, from what a model gives.

    Args:
        name: of the class that it says.
        probabilities: of the second of two classes, or one for each of more.
        classes: names in the order of their labels.

    Raises:
        ModelError: it says another class than these.
    """
    if not np.isfinite(probabilities).all():
        return Answer(None, float('nan'))
    if name not in classes:
        raise ModelError(
            f'the model says {name!r}, which is none of its classes in {features.CLASSES_FILE}: '
            f'{", ".join(classes[:_NAMED])}'
        )
    label = classes.index(name)
    if len(probabilities) > 1:
        return Answer(name, float(probabilities[label]))
    second = float(probabilities[0])
    return Answer(name, second if label else 1 - second)
