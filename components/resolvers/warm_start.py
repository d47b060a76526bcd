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
from trainer.training.trained_images import digests, read_trained_images, span_key

_log = logging.getLogger(__name__)


class WarmStartStrategy(LiveModelStrategy):
    """Resolves the live model, or the one of a version.

    A model that was trained on an image that is gone is logged. If it is the live one, it is not
    resolved, so that later models forget the image; a version was chosen by name.
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
        nothing, name = {**input_dict, MODEL: []}, describe_warm_start(self._wanted)
        version = self._version()
        if version is None:
            _log.info('no warm start: no model is live; starting from trainer.weights')
            return nothing
        model = self._model_of(store, version, input_dict[MODEL])
        if gone := count_gone(content_of(model.uri), input_dict[EXAMPLES]):
            plural = 's' * (gone != 1)
            were = f'{gone:,} image{plural} that {name} was trained on {"are" if plural else "is"}'
            if self._wanted == LIVE:
                _log.warning('no warm start: %s gone; starting from trainer.weights', were)
                return nothing
            _log.warning('warm start although %s gone', were)
        return {**input_dict, MODEL: [model]}

    def _version(self) -> Path | None:
        """The folder of the version; None if no model is live."""
        if self._wanted != LIVE:
            return find_model(self._serving, self._wanted)
        version, skipped = find_reference(self._serving)
        for clause in skipped:
            _log.warning(clause)
        return version


def count_gone(model: Path, examples: Sequence[Artifact]) -> int:
    """Counts the images that a model, or one it started from, was trained on and that are gone.

    An image is there if its bytes are in a span of this run, or its span is there unchanged but not
    read. 0 for a model without an index, which the Trainer does not start from.
    """
    index = read_trained_images(model)
    if index is None:
        return 0
    present = np.concatenate([digests(np.load(content_of(e.uri) / INDEX)) for e in examples])
    others = [span_key(each) for each in _other_spans(examples)]
    is_there = np.isin(digests(index), present)
    is_there |= np.isin(index['span'], np.array(others, np.uint64))
    return int((~is_there).sum())


def _other_spans(examples: Sequence[Artifact]) -> Iterator[str]:
    """Fingerprints of the spans that are there and that the run does not read."""
    for each in examples:
        text = each.get_string_custom_property(OTHER_SPANS)
        yield from json.loads(text).values() if text else ()
