"""Loads the live version of a serving directory, and follows pushes and rollbacks."""

import asyncio
import dataclasses
import functools
import gc
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from google.protobuf import json_format
from starlette.exceptions import HTTPException
from tensorflow.core.protobuf import saved_model_pb2

from common import features
from common.files import read_regular
from components.inference.classifier import Classifier
from components.pusher.serving_folder import GRAPH, versions_in
from pipeline.serving.batches import MOST, Batches, Image
from pipeline.serving.metrics import Metrics
from pipeline.serving.rest import Row
from trainer.export.complete_image import PIXEL

_RETRY_SECONDS = 60  # after a version that cannot be loaded

_log = logging.getLogger(__name__)


class ServedModel:
    """A loaded version. Requests in progress keep it in memory after the next one is live.

    Raises ModelError if the version cannot be loaded.
    """

    def __init__(self, folder: Path, limiter: anyio.CapacityLimiter, metrics: Metrics) -> None:
        self.version = folder.name
        self._classifier = Classifier(folder)
        self.image_size = self._classifier.image_size
        saved = saved_model_pb2.SavedModel.FromString(read_regular(folder / GRAPH))
        self._signature_def = {
            name: json_format.MessageToDict(definition, preserving_proto_field_name=True)
            for name, definition in saved.meta_graphs[0].signature_def.items()
            if not name.startswith('__')  # added by TensorFlow
        }
        self._batches = {
            name: Batches(functools.partial(self._call, name), limiter, metrics.batch_size.observe)
            for name in self._signature_def
        }
        self._warm_up()

    def _warm_up(self) -> None:
        """Predicts a batch of one image and a full one, so that the first request is fast."""
        signatures = (features.SIGNATURE_IMAGES, features.SIGNATURE_EXPLANATION)
        for signature in self._signature_def.keys() & signatures:
            for count in (1, MOST):
                self._call(signature, [PIXEL] * count)

    def metadata(self) -> dict[str, Any]:
        """The signatures in the form of TensorFlow Serving, and the class names by label."""
        return {
            'signature_def': {'signature_def': self._signature_def},
            'classes': self._classifier.classes,
        }

    async def predict(self, signature: str, images: Sequence[Image]) -> list[Row]:
        """Calls a signature; raises HTTPException if the model cannot take the images."""
        if signature not in self._batches:
            raise HTTPException(400, f'the model has no signature {signature}')
        if signature == features.SIGNATURE_PIXELS:
            size = self.image_size
            if any(np.shape(image.value) != (size, size, 3) for image in images):
                raise HTTPException(
                    400, f'the pixels of an image must have shape {[size, size, 3]}'
                )
        return await self._batches[signature].rows(images)

    def _call(self, signature: str, values: Sequence[bytes | np.ndarray]) -> list[Row]:
        outputs = self._classifier.outputs(signature, values)
        return [
            {name: rows[number] for name, rows in outputs.items()} for number in range(len(values))
        ]


@dataclasses.dataclass(frozen=True)
class _Failed:
    version: str
    at: float  # of `time.monotonic`


class LiveModel:
    """The model of the highest version. A new version replaces it when it is loaded and warm.

    Raises ModelError if the live version cannot be loaded.
    """

    def __init__(self, serving: Path, metrics: Metrics) -> None:
        self._serving, self._metrics = serving, metrics
        self._limiter = anyio.CapacityLimiter(1)  # TensorFlow uses all cores for a batch
        self._loading: str | None = None
        self._failed: _Failed | None = None
        self.current = self._load(versions_in(serving)[-1])

    async def follow(self, seconds: float) -> None:
        """Looks for a new version at an interval, until it is cancelled."""
        while True:
            await asyncio.sleep(seconds)
            await self.refresh()

    async def refresh(self) -> None:
        """Loads the live version if it is another one."""
        try:
            newest = await anyio.to_thread.run_sync(self._newest)
            if newest is None or not self._is_wanted(newest.name):
                return
            self._loading = newest.name
            self.current = await anyio.to_thread.run_sync(self._load, newest)
            self._failed = None
            await anyio.to_thread.run_sync(gc.collect)  # of the model before
        except Exception as error:  # a version may be damaged, or removed by the next push
            if self._loading:
                self._failed = _Failed(self._loading, time.monotonic())
                self._metrics.loads.labels('failed').inc()
            text = ' '.join(str(error).split())
            _log.warning('version %s stays live: %s', self.current.version, text)
        finally:
            self._loading = None

    def _newest(self) -> Path | None:
        return next(iter(versions_in(self._serving)[-1:]), None)

    def _is_wanted(self, version: str) -> bool:
        if self._failed and self._failed.version == version:
            return time.monotonic() > self._failed.at + _RETRY_SECONDS
        return version != self.current.version

    def _load(self, folder: Path) -> ServedModel:
        started = time.perf_counter()
        model = ServedModel(folder, self._limiter, self._metrics)
        seconds = time.perf_counter() - started
        self._metrics.version.set(int(model.version))
        self._metrics.load_seconds.set(seconds)
        self._metrics.loads.labels('loaded').inc()
        _log.info('version %s is live; loaded in %.1f s', model.version, seconds)
        return model

    def states(self) -> dict[str, tuple[str, str]]:
        """State and error message by version, as TensorFlow Serving names them."""
        states = {self.current.version: ('AVAILABLE', '')}
        if self._failed and self._failed.version != self.current.version:
            states[self._failed.version] = ('END', 'the version cannot be loaded; see the log')
        if self._loading:
            states[self._loading] = ('LOADING', '')
        return states
