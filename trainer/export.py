"""The trained model as a SavedModel with two signatures, preprocessing inside."""

from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf
import tensorflow_transform as tft

from trainer import features


class ServingModel(tf.Module):
    """From what a client sends to probability, class and logit.

    The preprocessing is the transform graph itself, so that serving cannot differ from training.
    """

    def __init__(
        self, model: keras.Model, transform: tft.TFTransformOutput, classes: tuple[str, ...]
    ) -> None:
        super().__init__()
        self._model = model
        self._transform = transform.transform_features_layer()
        self._classes = classes

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name='examples')])
    def serve_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Serialised `tf.Example`s, string [batch]; only `image/encoded` is read.

        An example without it is refused, with the whole batch.
        """
        spec = {features.IMAGE_BYTES: tf.io.FixedLenFeature([], tf.string)}
        return self._answer(tf.io.parse_example(examples, spec)[features.IMAGE_BYTES])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name='image_bytes')])
    def serve_images(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Bytes of JPEG or PNG files, string [batch]."""
        return self._answer(image_bytes)

    def _answer(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tf.shape(image_bytes, out_type=tf.int64)[0]
        rows = tf.stack([tf.range(count), tf.zeros([count], tf.int64)], axis=1)
        sparse = tf.SparseTensor(rows, image_bytes, tf.stack([count, 1]))
        transformed = self._transform({features.IMAGE_BYTES: sparse})
        logits = self._model(transformed[features.IMAGE_XF], training=False)
        names = tf.gather(tf.constant(self._classes), tf.cast(logits > 0, tf.int32))
        return {
            features.PROBABILITY: tf.sigmoid(logits),
            features.CLASS: names,
            features.LOGIT: logits,
        }


def export(
    model: keras.Model, transform: tft.TFTransformOutput, classes: tuple[str, ...], directory: Path
) -> None:
    """Writes the SavedModel that TensorFlow Serving and the Evaluator load."""
    serving = ServingModel(model, transform, classes)
    signatures: dict[str, Callable[..., dict[str, tf.Tensor]]] = {
        features.SIGNATURE_EXAMPLES: serving.serve_examples,
        features.SIGNATURE_IMAGES: serving.serve_images,
    }
    tf.saved_model.save(serving, str(directory), signatures=signatures)
