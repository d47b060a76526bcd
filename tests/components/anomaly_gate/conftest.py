"""Statistics of synthetic images."""

import numpy as np
import pandas as pd
import pytest
import tensorflow_data_validation as tfdv

from common import features


def describe(count=200, seed=0, dogs=0.5, darker=1.0, **columns):
    """Statistics of one split: JPEGs of one size, with a share of dogs; others are cats.

    `darker` is a factor of the brightness, `columns` are values by the feature's last name.
    """
    random = np.random.default_rng(seed)
    label = (np.arange(count) < round(count * dogs)).astype(int)
    values = {
        features.IMAGE_FORMAT: ['jpeg'] * count,
        features.LABEL: label,
        features.CLASS_NAME: np.where(label, 'dogs', 'cats'),
        features.HEIGHT: np.full(count, 480),
        features.WIDTH: np.full(count, 640),
        features.ASPECT: np.full(count, 640 / 480),
        features.BYTES: random.integers(15_000, 30_000, count),
        features.BRIGHTNESS: random.beta(8, 8, count) * darker,
        features.CONTRAST: random.beta(8, 8, count) / 2,
        features.SHARPNESS: random.normal(6, 0.5, count),
        features.COLOURFULNESS: random.gamma(8, 5, count),
    } | {f'image/{name}': column for name, column in columns.items()}
    frame = pd.DataFrame({name: list(column) for name, column in values.items()})
    return tfdv.generate_statistics_from_dataframe(frame)


@pytest.fixture(scope='session')
def statistics_of():
    """`statistics_of(count, seed, dogs, darker, **columns)`, see `describe`."""
    return describe
