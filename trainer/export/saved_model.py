"""Exports the trained model, with its preprocessing, as a SavedModel."""

import json
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf
import tensorflow_transform as tft

from common import features
from trainer.export.complete_image import PIXEL, is_decodable

_EPSILON = 1e-7  # minimum distance of a probability from 0 and 1
Predictions = dict[str, tf.Tensor]


class ServingModel(tf.Module):
    """Serving signatures: probability, class and logit of each image.

    Preprocessing uses the transform graph, which prevents training-serving skew. The prediction for
    an undecodable or unsupported image file, or one that `is_decodable` rejects, is NaN, with an
    empty class; the other images of the batch are unaffected.
    """

    def __init__(
        self,
        model: keras.Model,
        transform: tft.TFTransformOutput,
        classes: tuple[str, ...],
        threshold: float,
        max_megapixels: float,
    ) -> None:
        super().__init__()
        self._classes, self._threshold = classes, threshold
        # Track only the variables, not the layers: this halves the time to save.
        self._weights = [variable.value for variable in model.variables]
        network, head = _parts(model)
        pixels = tf.TensorSpec(model.input_shape, tf.float32, name=features.PIXELS_INPUT)
        images = tf.TensorSpec([None], tf.string, name=features.IMAGES_INPUT)
        examples = tf.TensorSpec([None], tf.string, name=features.EXAMPLES_INPUT)
        # Functions shared by several signatures are traced once.
        self._decode = _graph(_make_decode(transform, max_megapixels), images)
        self._network = _graph(network, pixels)
        self.functions = {
            features.SIGNATURE_EXAMPLES: _graph(self._serve_examples, examples),
            features.SIGNATURE_IMAGES: _graph(self._serve_images, images),
            features.SIGNATURE_EXPLANATION: _graph(self._make_explain(head), images),
            features.SIGNATURE_PIXELS: _graph(self._serve_pixels, pixels),
        }

    def _serve_examples(self, examples: tf.Tensor) -> Predictions:
        """Predicts serialised `tf.Example`s, string [batch]; all need `image/encoded`."""
        spec = {features.IMAGE_BYTES: tf.io.FixedLenFeature([], tf.string)}
        return self._serve_images(tf.io.parse_example(examples, spec)[features.IMAGE_BYTES])

    def _serve_images(self, image_bytes: tf.Tensor) -> Predictions:
        """Predicts JPEG or PNG files, string [batch]."""
        return self._predict(self._apply_network(image_bytes)[1])

    def _serve_pixels(self, pixels: tf.Tensor) -> Predictions:
        """Predicts preprocessed images, float32 [batch, size, size, 3] in 0..255."""
        # A model server checks no shapes, and a convolution ends the process at another rank.
        return self._predict(self._network(tf.ensure_shape(pixels, pixels.shape))[1])

    def _make_explain(self, head: keras.Model) -> Callable[[tf.Tensor], Predictions]:
        # The head is no attribute: saving would trace it again, like the transform graph.
        def explain(image_bytes: tf.Tensor) -> Predictions:
            feature_map, logits = self._apply_network(image_bytes)
            heat = _grad_cam(head, feature_map, self._labels(logits))
            heat = tf.where(tf.math.is_finite(logits[:, :1, tf.newaxis]), heat, float('nan'))
            return {**self._predict(logits), features.HEAT_MAP: heat}

        return explain

    def _apply_network(self, image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns feature map and logits; the logits of undecodable images are NaN."""
        pixels, decodable = self._decode(image_bytes)
        feature_map, logits = self._network(pixels)
        return feature_map, tf.where(decodable[:, tf.newaxis], logits, float('nan'))

    def _predict(self, logits: tf.Tensor) -> Predictions:
        name = tf.gather(tf.constant(self._classes), self._labels(logits))
        invalid = tf.reduce_any(tf.math.is_nan(logits), axis=-1, keepdims=True)
        return {
            features.PROBABILITY: _probability(logits),
            features.CLASS: tf.where(invalid, '', name),
            features.LOGIT: logits,
        }

    def _labels(self, logits: tf.Tensor) -> tf.Tensor:
        """Returns the predicted labels, int64 [batch, 1]."""
        if logits.shape[-1] == 1:
            return tf.cast(_probability(logits) >= self._threshold, tf.int64)
        return tf.argmax(logits, axis=-1)[:, tf.newaxis]


def _parts(model: keras.Model) -> tuple[Callable[[tf.Tensor], list[tf.Tensor]], keras.Model]:
    """Splits a model: pixels to feature map and logits, and feature map to logits."""
    pooling = keras.layers.GlobalAveragePooling2D
    (feature_map,) = (layer.input for layer in model.layers if isinstance(layer, pooling))
    both = keras.Model(model.input, [feature_map, model.output])
    return lambda pixels: both(pixels, training=False), keras.Model(feature_map, model.output)


def _make_decode(
    transform: tft.TFTransformOutput, max_megapixels: float
) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    # Not an attribute of the saved module: the layer is a model, and saving would trace it again.
    # The graph has no lookup tables; with one, saving would fail.
    preprocess = transform.transform_features_layer()

    @tf.autograph.experimental.do_not_convert
    def decode_one(number: tf.Tensor, contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        accepted = tf.debugging.Assert(is_decodable(contents, max_megapixels), [number])
        with tf.control_dependencies([accepted]):  # before it is decoded
            sparse = tf.sparse.from_dense(tf.reshape(contents, [1, 1]))
        return number, preprocess({features.IMAGE_BYTES: sparse})[features.IMAGE_XF][0]

    def decode(image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns pixels, and whether each image is decodable; otherwise its pixels are 0."""
        # With one image more: at least one has to be decodable.
        values = tf.concat([image_bytes, [PIXEL]], axis=0)
        count = tf.size(values, tf.int64)
        # Only `tf.data` can continue after an error of an operation.
        images = tf.data.Dataset.from_tensor_slices((tf.range(count), values))
        decodable = images.map(decode_one, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors()
        numbers, pixels = decodable.batch(count).get_single_element()
        shape = tf.stack([count, *pixels.shape[1:]])
        pixels = tf.scatter_nd(numbers[:, tf.newaxis], pixels, shape)
        decoded = tf.scatter_nd(numbers[:, tf.newaxis], tf.ones_like(numbers, bool), [count])
        return pixels[:-1], decoded[:-1]

    return decode


def _probability(logits: tf.Tensor) -> tf.Tensor:
    """Returns probabilities in the shape of the logits, clipped: the log loss of 0 is infinite."""
    probability = tf.sigmoid(logits) if logits.shape[-1] == 1 else tf.nn.softmax(logits)
    return tf.clip_by_value(probability, _EPSILON, 1 - _EPSILON)


def _grad_cam(head: keras.Model, feature_map: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Computes heat maps for labels, int64 [batch, 1]; float32 [batch, height, width] in 0..1.

    Follows Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization" (ICCV 2017): channels are weighted with the mean gradient of the class's logit.
    Each map is divided by its maximum; it is 0 everywhere if no region supports the class.
    """
    with tf.GradientTape() as tape:
        tape.watch(feature_map)
        logits = head(feature_map)
        if logits.shape[-1] == 1:  # the logit of class 1; its negative is that of class 0
            score = tf.where(labels == 1, logits, -logits)
        else:
            score = tf.gather(logits, labels, batch_dims=1)
    weights = tf.reduce_mean(tape.gradient(score, feature_map), axis=[1, 2], keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(weights * feature_map, axis=-1))
    return tf.math.divide_no_nan(heat, tf.reduce_max(heat, axis=[1, 2], keepdims=True))


def _graph(function: Callable, spec: tf.TensorSpec) -> tf.types.experimental.PolymorphicFunction:
    """Wraps a function without AutoGraph, which would convert all of Keras."""
    return tf.function(function, input_signature=[spec], autograph=False)


def export(
    model: keras.Model,
    transform: tft.TFTransformOutput,
    classes: tuple[str, ...],
    directory: Path,
    threshold: float = 0.5,
    max_megapixels: float = features.MEGAPIXELS,
) -> ServingModel:
    """Writes the SavedModel of a model from pixels in 0..255 to logits, and its class names.

    Returns its module in memory. `threshold` is the minimum probability to predict the second of
    two classes. Larger images than `max_megapixels` are not decoded.
    """
    serving = ServingModel(model, transform, classes, threshold, max_megapixels)
    tf.saved_model.save(serving, str(directory), signatures=serving.functions)
    class_names = directory / features.CLASSES_FILE
    class_names.parent.mkdir(exist_ok=True)
    class_names.write_text(json.dumps(classes))
    return serving
