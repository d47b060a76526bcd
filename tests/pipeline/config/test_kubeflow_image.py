"""Names of container images in a recipe."""

import pytest

from common.errors import ConfigError
from pipeline.config.recipe import recipe_of

DIGEST = 'sha256:' + '0123456789abcdef' * 4


def image_of(name):
    return recipe_of({'name': 'pets', 'kubeflow': {'image': name}}).kubeflow.image


@pytest.mark.parametrize(
    'name',
    [
        'catdog-pipeline:latest',
        'registry.example.org:5000/team/catdog_pipeline:0.1.0-rc.1',
        f'registry.example.org:5000/catdog-pipeline@{DIGEST}',
        f'catdog-pipeline:0.1.0@{DIGEST}',
    ],
)
def test_accepts_tag_and_digest(name):
    assert image_of(name) == name


@pytest.mark.parametrize(
    'name',
    ['', 'catdog pipeline:1', f'catdog-pipeline@{DIGEST[:-1]}', 'a@sha256:latest', '{{image}}'],
)
def test_rejects_what_no_registry_accepts(name):
    with pytest.raises(ConfigError, match=r'^recipe: kubeflow\.image: '):
        image_of(name)
