"""Each recipe in configs/ trains a model on a few small images."""

import numpy as np
import pytest

from pipeline.config.recipe import RECIPES, load_recipe
from trainer.model.head import join
from trainer.training.stages import train

NAMES = sorted(path.stem for path in RECIPES.glob('*.yaml'))
SMALL = [
    ('trainer.image_size', 32),
    ('trainer.alpha', 0.35),
    ('trainer.weights', 'random'),
    ('trainer.batch_size', 8),
]


def load_small_recipe(name):
    """Loads a recipe with a small network and at most one epoch per stage."""
    recipe = load_recipe(name)
    stages = ('feature_extraction', 'fine_tune')
    epochs = [
        (f'trainer.{stage}.epochs', min(1, getattr(recipe.trainer, stage).epochs))
        for stage in stages
    ]
    return load_recipe(name, [*SMALL, *epochs])


@pytest.mark.parametrize('name', NAMES)
def test_recipe_trains_model(name, tmp_path, small_job):
    job = small_job(**load_small_recipe(name).trainer.model_dump())
    network = job.build_network()
    with job.stage_data(network, tmp_path) as stage_data:
        histories = train(job.config, network, stage_data, tmp_path / 'logs', job.timings)
    for history in histories:
        assert np.isfinite(history.metrics['val_loss']).all()
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype('float32')
    logits = join(network.backbone, network.head)(pixels, training=False).numpy()
    assert logits.shape == (2, 1)
    assert np.isfinite(logits).all()
