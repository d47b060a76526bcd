"""Every recipe in configs/ trains and exports, on a few small images."""

import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from pipeline.config import RECIPES, load_recipe
from trainer.export import export
from trainer.head import join
from trainer.training import train

NAMES = sorted(path.stem for path in RECIPES.glob('*.yaml'))
# Small and quick; everything else is as the recipe says.
SMALL = [
    ('trainer.image_size', 32), ('trainer.alpha', 0.35), ('trainer.weights', 'random'),
    ('trainer.batch_size', 8),
]  # fmt: skip


def small(name):
    """A recipe with fewer epochs of those stages that it has."""
    recipe = load_recipe(name)
    stages = ('feature_extraction', 'fine_tune')
    epochs = [
        (f'trainer.{stage}.epochs', min(2, getattr(recipe.trainer, stage).epochs))
        for stage in stages
    ]
    return load_recipe(name, [*SMALL, *epochs])


@pytest.mark.parametrize('name', NAMES)
def test_a_recipe_trains_and_exports_a_model(name, tmp_path, small_job):
    job = small_job(**small(name).trainer.model_dump())
    network = job.build_network()
    with job.stage_data(network, tmp_path) as stage_data:
        histories = train(job.config, network, stage_data, tmp_path / 'logs', job.timings)
    for history in histories:
        assert np.isfinite(history.metrics['val_loss']).all()
    export(join(network.backbone, network.head), job.transform, job.classes, tmp_path / 'model')
    served = tf.saved_model.load(str(tmp_path / 'model'))
    answer = served.signatures['serve_images'](tf.constant([jpeg(60), jpeg(190)]))
    assert answer['probability'].shape == (2, 1)
    assert set(answer['class'].numpy().ravel()) <= {b'cats', b'dogs'}


def jpeg(brightness: int) -> bytes:
    contents = io.BytesIO()
    PIL.Image.new('RGB', (48, 64), (brightness,) * 3).save(contents, 'JPEG')
    return contents.getvalue()
