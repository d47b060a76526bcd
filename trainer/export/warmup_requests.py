"""Warm-up requests of the SavedModel, with the predictions of the trained network.

TensorFlow Serving sends them to warm up; the serving check compares their recorded predictions with
those of the server. The predictions come from the network in memory, not from the SavedModel, and
are computed from the logits outside the graph, so that the check detects errors of the export.
"""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import scipy.special
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from common import features
from trainer.export.image_example import image_of, only_image
from trainer.training.job import Job

_BATCH, _CANDIDATES = 4, 64  # images of the larger requests, and images to choose from
_Arrays = dict[str, np.ndarray]


def write_requests(directory: Path, model: keras.Model, job: Job) -> None:
    """Writes `PredictionLog`s for both signatures, with one image and with four of 'eval'."""
    split = job.splits['eval']
    # Median sizes: a very large or a very small image is not representative.
    records = sorted(split.records(_CANDIDATES), key=lambda record: (len(record), record))
    start = max(0, (len(records) - _BATCH) // 2)
    records = records[start : start + _BATCH]
    with tf.device('CPU:0'):  # as in the serving check; TF32 of a GPU has a 10-bit mantissa
        pixels, _ = split.decode(tf.constant(records))
        logits = model(tf.cast(pixels, tf.float32), training=False)
    predictions = _predictions(np.asarray(logits), job)
    images = [*map(image_of, records)]
    path = directory / features.WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in _logs(images, predictions):
            writer.write(log.SerializeToString(deterministic=True))


def _predictions(logits: np.ndarray, job: Job) -> _Arrays:
    logits64 = logits.astype(np.float64)
    if logits.shape[1] == 1:
        probability = scipy.special.expit(logits64)
        # float32, as in the graph: otherwise classes may differ for probabilities of exactly 0.5.
        labels = probability[:, 0].astype(np.float32) >= np.float32(job.config.threshold)
    else:
        probability, labels = scipy.special.softmax(logits64, axis=1), logits64.argmax(axis=1)
    names = np.array([[job.classes[int(label)].encode()] for label in labels], object)
    return {
        features.PROBABILITY: probability.astype(np.float32),
        features.CLASS: names,
        features.LOGIT: logits,
    }


def _logs(images: list[bytes], predictions: _Arrays) -> Iterator[prediction_log_pb2.PredictionLog]:
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
            for key, array in predictions.items():
                response.outputs[key].CopyFrom(tf.make_tensor_proto(array[:count]))
            log = prediction_log_pb2.PredictLog(request=request, response=response)
            yield prediction_log_pb2.PredictionLog(predict_log=log)
