"""Resolver strategy for the model whose weights a training starts from."""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import ml_metadata as mlmd
import numpy as np
from tfx.types import Artifact

from common.artifacts import content_of
from common.features import INDEX, OTHER_SPANS
from components.image_example_gen.image_example_gen import EXAMPLES
from components.pusher.reference import find_reference
from components.pusher.serving_folder import find_model
from components.resolvers.live_model import MODEL, LiveModelStrategy
from trainer.config.train import LIVE, describe_warm_start
from trainer.training.trained_images import (
    TRAINED_IMAGE,
    digests,
    read_trained_images,
    span_key,
)

_log = logging.getLogger(__name__)


class WarmStartStrategy(LiveModelStrategy):
    """Resolves the live model, or the one of a version; nothing for a file.

    A model that was trained on an image that is gone is logged. If it is the live one, it is not
    resolved, so that later models forget the image; a version or a file was chosen by name.
    """

    def __init__(self, serving: str, pipeline: str, artifacts: str, wanted: str) -> None:
        super().__init__(serving, pipeline, artifacts)
        self._wanted = wanted  # the key `trainer.warm_start`

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]] | None:
        """Resolves the channel `model`, all models of the pipeline, to one artifact or none.

        The channel EXAMPLES, of this run, is unchanged. Raises ModelError if there is no such
        version.
        """
        nothing = {**input_dict, MODEL: []}
        if self._wanted.endswith('.keras'):
            if gone := self._describe_gone(Path(self._wanted).parent, input_dict[EXAMPLES]):
                _log.warning('warm start although %s', gone)
            return nothing
        version = self._version()
        if version is None:
            _log.info('no warm start: no model is live; starting from trainer.weights')
            return nothing
        model = self._model_of(store, version, input_dict[MODEL])
        if gone := self._describe_gone(content_of(model.uri), input_dict[EXAMPLES]):
            if self._wanted == LIVE:
                _log.warning('no warm start: %s; starting from trainer.weights', gone)
                return nothing
            _log.warning('warm start although %s', gone)
        return {**input_dict, MODEL: [model]}

    def _describe_gone(self, model: Path, examples: Sequence[Artifact]) -> str:
        """Counts the images that are gone, in a clause; empty if there is none."""
        gone = find_gone(model, examples)
        if not len(gone):
            return ''
        images = '1 image' if len(gone) == 1 else f'{len(gone):,} images'
        verb = 'is' if len(gone) == 1 else 'are'
        return f'{images} that {describe_warm_start(self._wanted)} was trained on {verb} gone'

    def _version(self) -> Path | None:
        """The folder of the version; None if no model is live."""
        if self._wanted != LIVE:
            return find_model(self._serving, self._wanted)
        return find_reference(self._serving, warn=_log.warning)


def find_gone(model: Path, examples: Sequence[Artifact]) -> np.ndarray:
    """The images that a model, or one it started from, was trained on and that are gone.

    An image is there if its bytes are in a span of this run, or its span is there unchanged but not
    read. None are for a model without an index, which the Trainer does not start from.
    """
    index = read_trained_images(model)
    if index is None:
        return np.zeros(0, TRAINED_IMAGE)
    present = np.concatenate([digests(np.load(content_of(e.uri) / INDEX)) for e in examples])
    others = [span_key(each) for each in _other_spans(examples)]
    is_there = np.isin(digests(index), present)
    is_there |= np.isin(index['span'], np.array(others, np.uint64))
    return index[~is_there]


def _other_spans(examples: Sequence[Artifact]) -> Iterator[str]:
    """Fingerprints of the spans that are there and that the run does not read."""
    for each in examples:
        text = each.get_string_custom_property(OTHER_SPANS)
        yield from json.loads(text).values() if text else ()
