"""The test images that no model was trained on. Imports neither TensorFlow nor TFX."""

from collections.abc import Sequence

import numpy as np

from common.features import SPLITS
from common.strict_model import StrictModel
from components.image_example_gen.ingestion.duplicates import has_near
from trainer.training.trained_images import digests

HELD_OUT_FILE = 'held_out.json'  # in the folder of a Predictions artifact: a HeldOut


class HeldOut(StrictModel):
    """Numbers of different test images."""

    dropped: int = 0  # left out: a model was trained on them, a near-duplicate or their group
    kept: int = 0  # models are evaluated on them


def distinct_images(spans: Sequence[np.ndarray]) -> np.ndarray:
    """The index entries of the different test images, sorted by digest.

    `spans` are their indexes (`components.image_example_gen.ingestion.duplicates.IMAGE`).
    """
    records = np.concatenate(spans)
    records = records[records['split'] == SPLITS.index('test')]
    _, first = np.unique(digests(records), return_index=True)
    return records[first]


def find_held_out(
    images: np.ndarray, trained: Sequence[np.ndarray], near: int
) -> tuple[np.ndarray, HeldOut]:
    """Returns the entries of the images that no model was trained on, and counts.

    Args:
        images: index entries of different images.
        trained: the index of each model (`trainer.training.trained_images.TRAINED_IMAGE`).
        near: largest distance of near-duplicates, in bits of 256; 0 compares bytes only.
    """
    seen = np.zeros(len(images), bool)
    for index in trained:
        seen |= np.isin(digests(images), digests(index))
        seen |= np.isin(images['group'], index['group']) & (images['group'] > 0)
        if near:
            seen |= has_near(images['perceptual'], index['perceptual'], near)
    return images[~seen], HeldOut(dropped=int(seen.sum()), kept=int((~seen).sum()))


def groups_of(images: np.ndarray) -> dict[str, int]:
    """The group of each image by the hexadecimal digest of its bytes; 0: none."""
    keys = (bytes(digest).hex() for digest in images['sha256'])
    return dict(zip(keys, images['group'].tolist(), strict=True))
