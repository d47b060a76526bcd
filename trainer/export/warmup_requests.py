"""Warm-up requests of the SavedModel, with the predictions of the trained network.

TensorFlow Serving sends them to warm up; the serving check compares their recorded predictions with
those of the server. The predictions come from the network in memory, not from the SavedModel, and
are computed from the logits outside the graph, so that the check detects errors of the export. A
rotated and a transparent image are converted with Pillow, as in ingestion.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import PIL.ExifTags
import PIL.Image
import PIL.ImageOps
import scipy.special
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from common import features
from trainer.export.image_example import image_of, only_image
from trainer.training.job import Job

_BATCH, _CANDIDATES = 4, 64  # images of 'eval' in the larger requests, and images to choose from
_ROTATED = 6  # EXIF orientation of a photograph in portrait format
_Arrays = dict[str, np.ndarray]


def write_requests(directory: Path, model: keras.Model, job: Job) -> None:
    """Writes `PredictionLog`s for both signatures, with one image and with six.

    These are four of 'eval', and two made of the first: a JPEG with EXIF orientation and a
    transparent PNG.
    """
    split = job.splits['eval']
    # Median sizes: a very large or a very small image is not representative.
    records = sorted(split.records(_CANDIDATES), key=lambda record: (len(record), record))
    start = max(0, (len(records) - _BATCH) // 2)
    records = records[start : start + _BATCH]
    with tf.device('CPU:0'):  # as in the serving check; TF32 of a GPU has a 10-bit mantissa
        pixels = np.asarray(split.decode(tf.constant(records)))
        made = _rotated_jpeg(pixels[0]), _transparent_png(pixels[0])
        images = [*map(image_of, records), *(contents for contents, _ in made)]
        pixels = np.concatenate([pixels, [upright for _, upright in made]])
        logits = model(tf.cast(pixels, tf.float32), training=False)
    predictions = _predictions(np.asarray(logits), job)
    path = directory / features.WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in _logs(images, predictions):
            writer.write(log.SerializeToString(deterministic=True))


def _rotated_jpeg(pixels: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Returns a JPEG with EXIF orientation, and its upright pixels, uint8 as the given ones.

    It has the input size of the network: it is not resized, and the pixels are exact.
    """
    file, exif = io.BytesIO(), PIL.Image.Exif()
    exif[PIL.ExifTags.Base.Orientation] = _ROTATED
    rotated = PIL.Image.fromarray(pixels).transpose(PIL.Image.Transpose.ROTATE_90)
    rotated.save(file, 'JPEG', quality=95, exif=exif)
    decoded = PIL.Image.fromarray(np.asarray(tf.io.decode_jpeg(file.getvalue(), channels=3)))
    decoded.getexif()[PIL.ExifTags.Base.Orientation] = _ROTATED
    return file.getvalue(), np.asarray(PIL.ImageOps.exif_transpose(decoded))


def _transparent_png(pixels: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Returns a transparent PNG and its pixels on white, as `_rotated_jpeg`."""
    file, layer = io.BytesIO(), PIL.Image.fromarray(pixels)
    layer.putalpha(PIL.Image.linear_gradient('L').resize(layer.size))
    layer.save(file, 'PNG')
    white = PIL.Image.new('RGB', layer.size, 'white')
    white.paste(layer, mask=layer)
    return file.getvalue(), np.asarray(white)


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
