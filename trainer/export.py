"""The trained model as a SavedModel with two signatures, preprocessing inside."""

import json
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf
import tensorflow_transform as tft

from trainer import features

_CLOSEST = 1e-7  # to 0 and 1
_Answer = dict[str, tf.Tensor]


class ServingModel(tf.Module):
    """From what a client sends to probability, class and logit.

    The preprocessing is the transform graph itself, so that serving cannot differ from training.
    """

    def __init__(
        self, model: keras.Model, transform: tft.TFTransformOutput, classes: tuple[str, ...]
    ) -> None:
        super().__init__()
        # Saved with it; the layers that hold them are left out, which halves the time to save.
        self._weights = [variable.value for variable in model.variables]
        answer = _make_answer(model, transform, classes)
        encoded = tf.TensorSpec([None], tf.string)
        # Traced once for both signatures. AutoGraph would convert all of Keras on its way.
        self._answer = tf.function(answer, input_signature=[encoded], autograph=False)
        self.serve_examples = tf.function(
            self._serve_examples, input_signature=[_strings('examples')], autograph=False
        )
        self.serve_images = tf.function(
            self._serve_images, input_signature=[_strings('image_bytes')], autograph=False
        )

    def _serve_examples(self, examples: tf.Tensor) -> _Answer:
        """Serialised `tf.Example`s, string [batch]; only `image/encoded` is read.

        An example without it is refused, with the whole batch.
        """
        spec = {features.IMAGE_BYTES: tf.io.FixedLenFeature([], tf.string)}
        return self._answer(tf.io.parse_example(examples, spec)[features.IMAGE_BYTES])

    def _serve_images(self, image_bytes: tf.Tensor) -> _Answer:
        """Bytes of JPEG or PNG files, string [batch]."""
        return self._answer(image_bytes)


def _make_answer(
    model: keras.Model, transform: tft.TFTransformOutput, classes: tuple[str, ...]
) -> Callable[[tf.Tensor], _Answer]:
    # No attribute of anything that is saved: it is a model of its own, for which saving would
    # trace the graph again. The graph has no tables; if it ever gets one, saving refuses.
    preprocess = transform.transform_features_layer()

    def answer(image_bytes: tf.Tensor) -> _Answer:
        count = tf.shape(image_bytes, out_type=tf.int64)[0]
        rows = tf.stack([tf.range(count), tf.zeros([count], tf.int64)], axis=1)
        sparse = tf.SparseTensor(rows, image_bytes, tf.stack([count, 1]))
        images = preprocess({features.IMAGE_BYTES: sparse})[features.IMAGE_XF]
        logits = model(images, training=False)
        probabilities, labels = _decide(logits)
        return {
            features.PROBABILITY: _open_interval(probabilities),
            features.CLASS: tf.gather(tf.constant(classes), labels),
            features.LOGIT: logits,
        }

    return answer


def _decide(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Probabilities in the shape of the logits, and labels of the likeliest class, [batch, 1]."""
    if logits.shape[-1] == 1:
        return tf.sigmoid(logits), tf.cast(logits > 0, tf.int32)
    return tf.nn.softmax(logits), tf.argmax(logits, axis=-1)[:, tf.newaxis]


def _open_interval(probability: tf.Tensor) -> tf.Tensor:
    """Never exactly 0 or 1, as rounding may make it: the log loss would be infinite."""
    return tf.clip_by_value(probability, _CLOSEST, 1 - _CLOSEST)


def _strings(name: str) -> tf.TensorSpec:
    return tf.TensorSpec([None], tf.string, name=name)


def export(
    model: keras.Model, transform: tft.TFTransformOutput, classes: tuple[str, ...], directory: Path
) -> None:
    """Writes the SavedModel that TensorFlow Serving and the Evaluator load.

    The names of the classes lie with it where the format has a place for what serving does not
    read, `assets.extra`.
    """
    serving = ServingModel(model, transform, classes)
    signatures = {
        features.SIGNATURE_EXAMPLES: serving.serve_examples,
        features.SIGNATURE_IMAGES: serving.serve_images,
    }
    tf.saved_model.save(serving, str(directory), signatures=signatures)
    names = directory / features.CLASSES_FILE
    names.parent.mkdir(exist_ok=True)
    names.write_text(json.dumps(classes))
