"""Requests with the answers that the Trainer itself gives to them.

They lie in the SavedModel where TensorFlow Serving looks for requests to warm it up, and are what
the serving check asks again. The answers come from the network in memory, not from what was
exported, and follow another way from logits to classes, so that a mistake there is seen.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from common import features
from trainer.export.image_example import image_of, only_image
from trainer.training.job import Job

_BATCH = 4  # images of a request of several
_LOOKED_AT = 64  # images of which those of usual size are taken

_Arrays = dict[str, np.ndarray]


def write_requests(directory: Path, model: keras.Model, job: Job) -> None:
    """Writes requests to both signatures, of one image and of four, as `PredictionLog`s.

    Args:
        directory: of a SavedModel.
        model: from pixels in 0..255 to logits.
        job: gives images of the split 'eval', classes and threshold.
    """
    split = job.splits['eval']
    records = usual_records(split.records(_LOOKED_AT))
    with tf.device('CPU:0'):  # as the check will: a GPU computes with ten bits of precision
        pixels, _ = split.decode(tf.constant(records))
        logits = model(tf.cast(pixels, tf.float32), training=False)
    answers = _answers(np.asarray(logits), job)
    images = [image_of(record) for record in records]
    path = directory / features.WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in _logs(images, answers):
            writer.write(log.SerializeToString())


def usual_records(records: Sequence[bytes]) -> list[bytes]:
    """Up to four of middle size: neither a huge nor a tiny one stands for all."""
    ordered = sorted(records, key=lambda record: (len(record), record))
    start = max(0, (len(ordered) - _BATCH) // 2)
    return ordered[start : start + _BATCH]


def _answers(logits: np.ndarray, job: Job) -> _Arrays:
    exact = logits.astype(np.float64)
    if logits.shape[1] == 1:
        with np.errstate(over='ignore'):  # gives 0, as it should
            probability = 1 / (1 + np.exp(-exact))
        # In the precision of the graph: else the two may part where a model says a half to all.
        second = probability[:, 0].astype(np.float32) >= np.float32(job.config.threshold)
        labels = np.where(second, 1, 0)
    else:
        odds = np.exp(exact - exact.max(axis=1, keepdims=True))
        probability, labels = odds / odds.sum(axis=1, keepdims=True), exact.argmax(axis=1)
    names = np.array([[job.classes[label].encode()] for label in labels], object)
    return {
        features.PROBABILITY: probability.astype(np.float32),
        features.CLASS: names,
        features.LOGIT: logits,
    }


def _logs(images: list[bytes], answers: _Arrays) -> Iterator[prediction_log_pb2.PredictionLog]:
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
            for key, array in answers.items():
                response.outputs[key].CopyFrom(tf.make_tensor_proto(array[:count]))
            log = prediction_log_pb2.PredictLog(request=request, response=response)
            yield prediction_log_pb2.PredictionLog(predict_log=log)
