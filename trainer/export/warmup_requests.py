"""Warm-up requests of the SavedModel, with the predictions of the trained network.

TensorFlow Serving sends them to warm up; the serving check compares their recorded predictions with
those of the server. The predictions come from the network in memory, not from the SavedModel, so
that the check detects errors of the export.
"""

from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from common import features
from trainer.data.dataset import ImageSplit
from trainer.export.image_example import image_of, only_image
from trainer.export.saved_model import Predictions, ServingModel

_BATCH, _CANDIDATES = 4, 64  # images of 'eval' in the larger requests, and images to choose from


def write_requests(directory: Path, serving: ServingModel, split: ImageSplit) -> None:
    """Writes `PredictionLog`s for both signatures, with one image of a split and with four."""
    # Median sizes: a very large or a very small image is not representative.
    records = sorted(split.records(_CANDIDATES), key=lambda record: (len(record), record))
    start = max(0, (len(records) - _BATCH) // 2)
    records = records[start : start + _BATCH]
    with tf.device('CPU:0'):  # as in the serving check; TF32 of a GPU has a 10-bit mantissa
        pixels = tf.cast(split.decode(tf.constant(records)), tf.float32)
        predictions = serving.functions[features.SIGNATURE_PIXELS](pixels)
    path = directory / features.WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in _logs([*map(image_of, records)], predictions):
            writer.write(log.SerializeToString(deterministic=True))


def _logs(
    images: list[bytes], predictions: Predictions
) -> Iterator[prediction_log_pb2.PredictionLog]:
    inputs = {
        features.SIGNATURE_EXAMPLES: (features.EXAMPLES_INPUT, [*map(only_image, images)]),
        features.SIGNATURE_IMAGES: (features.IMAGES_INPUT, images),
    }
    for signature, (name, values) in inputs.items():
        for count in dict.fromkeys((1, len(images))):
            request, response = predict_pb2.PredictRequest(), predict_pb2.PredictResponse()
            for message in (request, response):
                message.model_spec.signature_name = signature
            request.inputs[name].CopyFrom(tf.make_tensor_proto(values[:count], tf.string))
            for key, values_of in predictions.items():
                response.outputs[key].CopyFrom(tf.make_tensor_proto(values_of[:count].numpy()))
            log = prediction_log_pb2.PredictLog(request=request, response=response)
            yield prediction_log_pb2.PredictionLog(predict_log=log)
