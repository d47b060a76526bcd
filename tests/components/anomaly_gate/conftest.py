"""Statistics of synthetic images."""

import numpy as np
import pandas as pd
import pytest
import tensorflow_data_validation as tfdv

from common import features


def describe(count=200, seed=0, dogs=0.5, darker=1.0, without=(), **columns):
    """Statistics of one split: JPEGs of cats and dogs, of one size.

    Args:
        count: number of images.
        seed: random seed.
        dogs: share of dogs.
        darker: factor of the brightness.
        without: features to leave out.
        columns: values by the last part of the feature's name.
    """
    random = np.random.default_rng(seed)
    label = (np.arange(count) < round(count * dogs)).astype(int)
    columns = {f'image/{name}': values for name, values in columns.items()}
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
    } | columns
    kept = {name: list(column) for name, column in values.items() if name not in without}
    return tfdv.generate_statistics_from_dataframe(pd.DataFrame(kept))


@pytest.fixture(scope='session')
def statistics_of():
    """`statistics_of(count, seed, dogs, darker, without, **columns)`, see `describe`."""
    return describe
