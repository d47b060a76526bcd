"""HeldOutFilter component: leaves out test images that a model was trained on."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import List  # noqa: UP035

import numpy as np
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import Artifact, standard_artifacts

from common.artifacts import folder_of
from common.features import INDEX, SPLITS
from components.evaluation.held_out.held_out_files import HeldOut, write_held_out
from components.image_example_gen.ingestion.duplicates import has_near
from trainer.training.trained_images import digests, read_trained_images

_log = logging.getLogger(__name__)


class HeldOutImages(Artifact):
    """`held_out.json` (`held_out_files.HeldOut`), and `dropped.txt`, a SHA-256 digest per line."""

    TYPE_NAME = 'catdog.HeldOutImages'


@component
def HeldOutFilter(
    examples: InputArtifact[List[standard_artifacts.Examples]],  # noqa: UP006  # TFX requires List
    model: InputArtifact[standard_artifacts.Model],
    held_out: OutputArtifact[HeldOutImages],
    near_distance: Parameter[int],
    baseline_model: InputArtifact[standard_artifacts.Model] = None,
    anchor_model: InputArtifact[standard_artifacts.Model] = None,
) -> None:
    """Lists the test images that one of the models, or a model it started from, was trained on.

    An image was trained on if its bytes were, a near-duplicate of it, or an image of its group:
    `near_distance` is that of the ingestion (`data.checks`). A model of an earlier version has no
    index of its images; none is left out because of it.
    """
    spans = [np.load(folder_of(each.uri) / INDEX) for each in examples]
    models = {'new': model, 'live': baseline_model, 'best': anchor_model}
    trained = _trained_images(
        {name: folder_of(each.uri) for name, each in models.items() if each is not None}
    )
    counts, dropped = find_held_out(spans, trained, near_distance)
    write_held_out(folder_of(held_out.uri), counts, dropped)
    if counts.dropped:
        _log.info(
            '%s of %s test images left out: a model was trained on them or on similar ones%s',
            counts.dropped,
            counts.dropped + counts.kept,
            '' if counts.kept else '; none is left',
        )


def find_held_out(
    spans: Sequence[np.ndarray], trained: Sequence[np.ndarray], near: int
) -> tuple[HeldOut, list[str]]:
    """Returns counts of test images, and the hexadecimal digests of those that are left out.

    Args:
        spans: the index of each span (`components.image_example_gen.ingestion.duplicates.IMAGE`).
        trained: the index of each model (`trainer.training.trained_images.TRAINED_IMAGE`).
        near: largest distance of near-duplicates, in bits of 256; 0 compares bytes only.
    """
    records = np.concatenate(spans)
    records = records[records['split'] == SPLITS.index('test')]
    keys, first = np.unique(digests(records), return_index=True)
    images = records[first]
    seen = np.zeros(len(images), bool)
    for index in trained:
        seen |= np.isin(keys, digests(index))
        seen |= np.isin(images['group'], index['group']) & (images['group'] > 0)
        if near:
            seen |= has_near(images['perceptual'], index['perceptual'], near)
    counts = HeldOut(dropped=int(seen.sum()), kept=int((~seen).sum()))
    return counts, [bytes(digest).hex() for digest in images['sha256'][seen]]


def _trained_images(models: dict[str, Path]) -> list[np.ndarray]:
    found = []
    for name, folder in models.items():
        index = read_trained_images(folder)
        if index is None:
            _log.info('the %s model has no index of the images that it was trained on', name)
        else:
            found.append(index)
    return found
