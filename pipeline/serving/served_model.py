"""Loads the live version of a serving directory, and follows pushes and rollbacks."""

import gc
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import json_format
from prometheus_client import Counter, Gauge
from starlette.exceptions import HTTPException
from tensorflow.core.protobuf import saved_model_pb2

from common import features
from common.files import read_regular
from components.inference.classifier import Classifier
from components.pusher.serving_folder import GRAPH, versions_in
from trainer.export.complete_image import PIXEL

_VERSION = Gauge('serve_model_version', 'The version that is served.')
_LOADS = Counter('serve_model_loads', 'Versions loaded.', ['result'])

_log = logging.getLogger(__name__)


class ServedModel:
    """A loaded version. Raises ModelError if it cannot be loaded."""

    def __init__(self, folder: Path) -> None:
        self.version = folder.name
        self._classifier = Classifier(folder)
        self.classes = self._classifier.classes
        graph = saved_model_pb2.SavedModel.FromString(read_regular(folder / GRAPH)).meta_graphs[0]
        self.signatures = {
            name: json_format.MessageToDict(definition, preserving_proto_field_name=True)
            for name, definition in graph.signature_def.items()
            if not name.startswith('__')  # added by TensorFlow
        }
        for name in (features.SIGNATURE_IMAGES, features.SIGNATURE_EXPLANATION):
            if name in self.signatures:  # so that the first request is fast
                self._classifier.outputs(name, [PIXEL])

    def predict(self, signature: str, images: Sequence[Any]) -> dict[str, np.ndarray]:
        """Outputs of a signature; raises HTTPException if the model cannot take the images."""
        if signature not in self.signatures:
            raise HTTPException(400, f'the model has no signature {signature}')
        if signature == features.SIGNATURE_PIXELS:
            images = _pixels(images, self._classifier.image_size)
        return self._classifier.outputs(signature, images)


def _pixels(values: Sequence[Any], size: int) -> list[np.ndarray]:
    """Converts nested lists of numbers, one for each image."""
    try:
        pixels = np.asarray(values, np.float32)
        if pixels.shape[1:] == (size, size, 3):
            return [*pixels]
    except (ValueError, TypeError, OverflowError):
        pass
    raise HTTPException(400, f'each image must have numbers of shape [{size}, {size}, 3]')


class LiveModel:
    """The model of the highest version. A new version replaces it when it is loaded and warm.

    Raises ModelError if the live version cannot be loaded.
    """

    def __init__(self, serving: Path) -> None:
        self._serving = serving
        self.current = _load(versions_in(serving)[-1])

    def refresh(self) -> bool:
        """Loads the live version if it is another one; returns False if that fails."""
        try:
            for folder in versions_in(self._serving)[-1:]:
                if folder.name != self.current.version:
                    self.current = _load(folder)
                    gc.collect()  # the model before
        except Exception as error:  # a version may be damaged, or removed by the next push
            _LOADS.labels('failed').inc()
            reason = ' '.join(str(error).split())
            _log.warning('version %s stays live: %s', self.current.version, reason)
            return False
        return True


def _load(folder: Path) -> ServedModel:
    started = time.perf_counter()
    model = ServedModel(folder)
    _VERSION.set(int(model.version))
    _LOADS.labels('loaded').inc()
    seconds = time.perf_counter() - started
    _log.info('version %s is live; loaded in %.1f s', model.version, seconds)
    return model
