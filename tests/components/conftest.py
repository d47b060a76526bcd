"""Exported models."""

import pytest

from components.inference.classifier import Classifier


@pytest.fixture(scope='session')
def classifier(make_saved_model, tmp_path_factory) -> Classifier:
    """Says dogs to what is brighter than 125."""
    return Classifier(make_saved_model(tmp_path_factory.mktemp('bright') / 'model'))


@pytest.fixture(scope='session')
def broken(make_saved_model, tmp_path_factory) -> Classifier:
    """Its weights are NaN, and it cannot explain itself."""
    folder = tmp_path_factory.mktemp('broken') / 'model'
    return Classifier(make_saved_model(folder, slope=float('nan'), explains=False))
