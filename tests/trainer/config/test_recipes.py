"""The recipes in configs/ fit the network."""

import pytest

from pipeline.config.recipe import RECIPES, load_recipe
from trainer.model.backbone import build_backbone

CONFIGS = [load_recipe(path.stem).trainer for path in sorted(RECIPES.glob('*.yaml'))]
STAGES = {stage.from_layer: stage for stage in (each.fine_tune for each in CONFIGS) if stage.epochs}


@pytest.mark.parametrize('stage', STAGES.values(), ids=STAGES)
def test_fine_tuning_of_recipes_fits_the_network(stage):
    config = CONFIGS[0].replaced({'image_size': 32, 'alpha': 0.35, 'weights': 'random'})
    backbone = build_backbone(config.model_copy(update={'fine_tune': stage}))
    backbone.set_trainable(fine_tuning=True, batch_norm=False)
    top = backbone.top()
    assert top.trainable_variables
