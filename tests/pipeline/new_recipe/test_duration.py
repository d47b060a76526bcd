"""The estimated time of a run."""

import pytest

from pipeline.new_recipe import duration
from trainer.config.train import TrainConfig

IMAGES = {'train': 0, 'eval': 0, 'test': 0}


@pytest.mark.parametrize(('speed', 'seconds'), [(0.5, 64), (1, 32), (4, 32)])
def test_fast_products_do_not_shorten_the_fixed_part(monkeypatch, speed, seconds):
    monkeypatch.setattr(duration, '_measure_product', lambda: 20e-3 / speed)
    trainer = TrainConfig(fine_tune={'from_layer': 'block_14_expand'})

    assert duration.estimate(trainer, IMAGES, 0, 0.0).seconds == pytest.approx(seconds)
