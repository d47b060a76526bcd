"""TFX's own LocalDagRunner runs the pipeline of a recipe, without anything else of this project."""

import pytest
from tfx.orchestration.local.local_dag_runner import LocalDagRunner

from common.metadata_queries import custom_property, read_nodes
from components.pusher.serving_folder import versions_in
from pipeline.config.recipe import recipe_of
from pipeline.graph import create_pipeline
from pipeline.metadata_store import open_store

pytestmark = pytest.mark.slow
NEVER_CACHED = {'Resolver', 'Pusher'}


@pytest.fixture
def recipe(tmp_path):
    """A recipe for 200 drawings that trains only the head, with a lenient gate."""
    trainer = {
        'image_size': 96,
        'alpha': 0.35,
        'weights': 'embedded',
        'feature_extraction': {'epochs': 3},
        'fine_tune': {'epochs': 0},
    }
    return recipe_of(
        {
            'name': 'squares',
            'workdir': str(tmp_path),
            'data': {'source': 'drawings', 'count': 200},
            'trainer': trainer,
            'evaluation': {'minimum': 0.5},
        }
    )


def executions(recipe):
    store = open_store(recipe.metadata, recipe.home)
    return read_nodes(store, store.get_executions())


def test_stock_runner_trains_and_pushes_a_model_and_caches_it(recipe):
    LocalDagRunner().run(create_pipeline(recipe))

    first = executions(recipe)
    assert not any(each.cached for each in first)
    (push,) = [each for each in first if each.kind == 'Pusher']
    (version,) = versions_in(recipe.serving_directory)
    assert custom_property(push.output('pushed_model'), 'pushed_destination') == str(version)

    LocalDagRunner().run(create_pipeline(recipe))

    again = executions(recipe)[len(first) :]
    assert {each.kind for each in again if not each.cached} == NEVER_CACHED
    assert len(again) == len(first)
    assert versions_in(recipe.serving_directory) == [version]
