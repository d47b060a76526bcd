"""The trained model as a SavedModel, preprocessing inside."""

import json
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf
import tensorflow_transform as tft

from common import features
from trainer.export.complete_image import PIXEL, is_whole
from trainer.export.grad_cam import grad_cam

_CLOSEST = 1e-7  # to 0 and 1
_Answer = dict[str, tf.Tensor]


class ServingModel(tf.Module):
    """From what a client sends to probability, class and logit.

    The preprocessing is the transform graph itself, so that serving cannot differ from training.
    Bytes that are not the file of a whole JPEG or PNG get NaN and no class, and the images beside
    them their answers.

    Args:
        model: from pixels in 0..255 to logits, as `trainer.model.head.join` makes it.
        transform: the graph that Transform has written.
        classes: names in the order of their labels.
        threshold: probability from which on the second of two classes is said.
    """

    def __init__(
        self,
        model: keras.Model,
        transform: tft.TFTransformOutput,
        classes: tuple[str, ...],
        threshold: float = 0.5,
    ) -> None:
        super().__init__()
        self._classes, self._threshold = classes, threshold
        # Saved with it; the layers that hold them are left out, which halves the time to save.
        self._weights = [variable.value for variable in model.variables]
        network, head = _parts(model)
        # What several signatures use is traced once.
        self._decode = _graph(_make_decode(transform), tf.TensorSpec([None], tf.string))
        self._network = _graph(network, _pixels(model))
        self.serve_examples = _graph(self._serve_examples, _strings(features.EXAMPLES_INPUT))
        self.serve_images = _graph(self._serve_images, _strings(features.IMAGES_INPUT))
        self.explain_images = _graph(self._make_explain(head), _strings(features.IMAGES_INPUT))
        self.serve_pixels = _graph(self._serve_pixels, _pixels(model))

    def _serve_examples(self, examples: tf.Tensor) -> _Answer:
        """Serialised `tf.Example`s, string [batch]; only `image/encoded` is read.

        An example without it is refused, with the whole batch.
        """
        spec = {features.IMAGE_BYTES: tf.io.FixedLenFeature([], tf.string)}
        return self._serve_images(tf.io.parse_example(examples, spec)[features.IMAGE_BYTES])

    def _serve_images(self, image_bytes: tf.Tensor) -> _Answer:
        """Bytes of JPEG or PNG files, string [batch]."""
        return self._say(self._look(image_bytes)[1])

    def _serve_pixels(self, pixels: tf.Tensor) -> _Answer:
        """Images as the network sees them, float32 [batch, size, size, 3] in 0..255."""
        return self._say(self._network(pixels)[1])

    def _make_explain(self, head: keras.Model) -> Callable[[tf.Tensor], _Answer]:
        # No attribute, for the same reason as the transform graph.
        def explain(image_bytes: tf.Tensor) -> _Answer:
            feature_map, logits = self._look(image_bytes)
            answer = self._say(logits)
            heat = grad_cam(head, feature_map, self._labels(logits))
            known = tf.math.is_finite(logits[:, :1, tf.newaxis])
            return {**answer, features.HEAT_MAP: tf.where(known, heat, float('nan'))}

        return explain

    def _look(self, image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Feature map and logits; the latter NaN where there is no image."""
        pixels, whole = self._decode(image_bytes)
        feature_map, logits = self._network(pixels)
        return feature_map, tf.where(whole[:, tf.newaxis], logits, float('nan'))

    def _say(self, logits: tf.Tensor) -> _Answer:
        name = tf.gather(tf.constant(self._classes), self._labels(logits))
        unknown = tf.reduce_any(tf.math.is_nan(logits), axis=-1, keepdims=True)
        return {
            features.PROBABILITY: _open_interval(_probability(logits)),
            features.CLASS: tf.where(unknown, '', name),
            features.LOGIT: logits,
        }

    def _labels(self, logits: tf.Tensor) -> tf.Tensor:
        """Of the classes that are said, [batch, 1]."""
        if logits.shape[-1] == 1:
            return tf.cast(_probability(logits) >= self._threshold, tf.int64)
        return tf.argmax(logits, axis=-1)[:, tf.newaxis]


def _parts(model: keras.Model) -> tuple[Callable[[tf.Tensor], list[tf.Tensor]], keras.Model]:
    """From pixels to feature map and logits; and from the feature map to the logits."""
    pooling = keras.layers.GlobalAveragePooling2D
    (feature_map,) = (layer.input for layer in model.layers if isinstance(layer, pooling))
    both = keras.Model(model.input, [feature_map, model.output])
    return lambda pixels: both(pixels, training=False), keras.Model(feature_map, model.output)


def _make_decode(
    transform: tft.TFTransformOutput,
) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    # No attribute of anything that is saved: it is a model of its own, for which saving would
    # trace the graph again. The graph has no tables; if it ever gets one, saving refuses.
    preprocess = transform.transform_features_layer()

    def decode(image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Pixels, and whether there is an image: where not, the pixels mean nothing."""
        whole = is_whole(image_bytes)
        count = tf.shape(image_bytes, out_type=tf.int64)[0]
        rows = tf.stack([tf.range(count), tf.zeros([count], tf.int64)], axis=1)
        values = tf.where(whole, image_bytes, PIXEL)
        sparse = tf.SparseTensor(rows, values, tf.stack([count, 1]))
        return preprocess({features.IMAGE_BYTES: sparse})[features.IMAGE_XF], whole

    return decode


def _probability(logits: tf.Tensor) -> tf.Tensor:
    """In the shape of the logits."""
    return tf.sigmoid(logits) if logits.shape[-1] == 1 else tf.nn.softmax(logits)


def _open_interval(probability: tf.Tensor) -> tf.Tensor:
    """Never exactly 0 or 1, as rounding may make it: the log loss would be infinite."""
    return tf.clip_by_value(probability, _CLOSEST, 1 - _CLOSEST)


def _graph(function: Callable, spec: tf.TensorSpec) -> tf.types.experimental.PolymorphicFunction:
    """Without AutoGraph, which would convert all of Keras on its way."""
    return tf.function(function, input_signature=[spec], autograph=False)


def _pixels(model: keras.Model) -> tf.TensorSpec:
    return tf.TensorSpec(model.input_shape, tf.float32, name=features.PIXELS_INPUT)


def _strings(name: str) -> tf.TensorSpec:
    return tf.TensorSpec([None], tf.string, name=name)


def export(
    model: keras.Model,
    transform: tft.TFTransformOutput,
    classes: tuple[str, ...],
    directory: Path,
    threshold: float = 0.5,
) -> None:
    """Writes the SavedModel that TensorFlow Serving and the Evaluator load.

    The names of the classes lie with it where the format has a place for what serving does not
    read, `assets.extra`. The arguments are those of `ServingModel`.
    """
    serving = ServingModel(model, transform, classes, threshold)
    signatures = {
        features.SIGNATURE_EXAMPLES: serving.serve_examples,
        features.SIGNATURE_IMAGES: serving.serve_images,
        features.SIGNATURE_EXPLANATION: serving.explain_images,
        features.SIGNATURE_PIXELS: serving.serve_pixels,
    }
    tf.saved_model.save(serving, str(directory), signatures=signatures)
    names = directory / features.CLASSES_FILE
    names.parent.mkdir(exist_ok=True)
    names.write_text(json.dumps(classes))
