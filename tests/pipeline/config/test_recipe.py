"""Recipes: overrides, and the errors of a file in one line each."""

import json

import pytest

from common.errors import ConfigError
from components.image_example_gen.sources.base.data_config import SplitConfig
from pipeline.config.recipe import Recipe, load_recipe, parse_override, recipe_of


@pytest.fixture
def write(tmp_path):
    """`write(text)` writes the recipe `mine.yaml`, and returns its path."""

    def write_recipe(text: str, name: str = 'mine.yaml') -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write_recipe


def test_overrides_change_single_keys_in_order(write):
    path = write('trainer: {fine_tune: {epochs: 5}}')
    changes = [
        ('trainer.fine_tune.from_layer', 120),
        ('data.splits.test', 2),  # a section that the file does not have
        ('trainer.seed', 1),
        ('trainer.seed', 2),
    ]

    recipe = load_recipe(path, changes)

    assert (recipe.trainer.fine_tune.from_layer, recipe.trainer.fine_tune.epochs) == (120, 5)
    assert recipe.data.splits == SplitConfig(test=2)
    assert recipe.trainer.seed == 2


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('trainer.batch_size=64', ('trainer.batch_size', 64)),
        ('trainer.augment={flip: true}', ('trainer.augment', {'flip': True})),
        ('push_directory=null', ('push_directory', None)),
        ('description=a=b', ('description', 'a=b')),
    ],
)
def test_parses_override_value_as_yaml(text, expected):
    assert parse_override(text) == expected


@pytest.mark.parametrize('text', ['trainer.batch_size', ' = 64', 'data..seed=1'])
def test_override_needs_key_and_value(text):
    with pytest.raises(ConfigError, match=r'expected KEY=VALUE, as in trainer\.batch_size=64'):
        parse_override(text)


def test_rejects_override_below_a_scalar(write):
    with pytest.raises(ConfigError, match=r'--set name\.first: name is a value, not a mapping'):
        load_recipe(write('name: mine'), [('name.first', 1)])


@pytest.mark.parametrize(
    ('value', 'words'),
    [
        ('2026-11-31', 'a value does not fit its type'),
        ('9' * 5000, 'a value does not fit its type'),
        ('[' * 5000, 'nested too deeply'),
        ('&a [*a]', 'column .*: anchors .* and aliases .* are not supported'),
        ('*jpg', 'column .*: anchors .* and aliases .* are not supported; quote such a text'),
        ('!!python/object/apply:os.system [true]', 'could not determine a constructor'),
        ('{[a]: 1}', 'found unhashable key'),
        ('"\x07"', 'special characters are not allowed'),
        ('{a: 1, a: 2}', "line 1, column .*: duplicate key 'a'"),
        ('{a: 1]', "line 1, column .*: expected ',' or '}'"),
    ],
    ids=range(10),
)
def test_value_that_is_not_plain_yaml_is_one_error_line(write, value, words):
    with pytest.raises(ConfigError, match=rf'^\S+ is not YAML: .*{words}.{{0,100}}$'):
        load_recipe(write(f'trainer: {{seed: {value}}}'))
    with pytest.raises(ConfigError, match=rf'^--set trainer\.seed: not a YAML value: .*{words}'):
        parse_override(f'trainer.seed={value}')


def test_file_that_is_no_text_is_one_error_line(tmp_path):
    path = tmp_path / 'image.yaml'
    path.write_bytes(b'\xff\xd8\xff\xe0')

    with pytest.raises(ConfigError, match=f'^{path} is not YAML: .* 0xff in position 0'):
        load_recipe(str(path))


def test_reports_all_errors_with_received_and_valid_values(write):
    path = write('trainer:\n  alpha: 6\n  image_size: big\nevaluation: {minimum: 95}\n')

    with pytest.raises(ConfigError) as caught:
        load_recipe(path)

    size, alpha, accuracy = str(caught.value).splitlines()
    assert size.startswith(f'{path}: trainer.image_size: Input should be a valid integer')
    assert size.endswith("got 'big'")
    assert alpha.endswith('trainer.alpha: Input should be less than or equal to 2, got 6')
    assert accuracy.endswith('minimum: Input should be less than or equal to 1, got 95')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            'trainer: {bach_size: 64}',
            r'trainer\.bach_size: unknown key; did you mean batch_size\? valid keys: image_size, ',
        ),
        ('xyz: 1', 'xyz: unknown key; valid keys: name, description, '),
        ('1: 2', 'unknown key|should be strings'),
        (
            'evaluation: {floors: {class: {cats: 0.5}}}',
            r'evaluation\.floors\.class: Input should be a valid number',
        ),
        ('kubeflow: {tasks: {train: {cpus: 1}}}', 'train.cpus: unknown key; .* valid keys: im'),
        (
            'tuner: {space: {head.dropout: {low: 0.1, high: 0.4, step: 0.1}}}',
            'tuner.space.head.dropout.step: unknown key; valid keys: low, high, log$',
        ),
        (
            'tuner: {space: {head.dropout: [0.1, 2]}}',
            'tuner.space: head.dropout: 2: Input should be less than 1$',
        ),
        (
            'tuner: {space: {feature_extraction.optimizer: [adam, adamw]}}',
            'tuner.space: feature_extraction.optimizer: adamw: adamw without weight_decay is adam',
        ),
        (
            'tuner: {space: {fine_tune.learning_rate: [0.1, 0.2]}}',
            'tuner.space.fine_tune.learning_rate: that stage has 0 epochs$',
        ),
        (
            'tuner: {space: {fine_tune.learning_rate: [0.1, 0.2]}}\n'
            'trainer: {fine_tune: {epochs: 1, learning_rate: auto}}',
            'tuner.space.fine_tune.learning_rate: trainer.fine_tune.learning_rate is auto',
        ),
        ('', 'is not a mapping; expected keys'),
        ('data: {source: web}', r"data.source: .*'drawings', 'folder', 'archive', .*, got 'web'$"),
        ('name: ../up', "name: String should match pattern .*, got '../up'$"),
        (
            'converter: {formats: []}',
            'converter.formats: must have at least one format, and each once',
        ),
        ('data: {checks: {max_megabytes: .inf}}', 'max_megabytes: Input should be a finite number'),
        ('inference: {}', 'inference.path: Field required$'),
        ('pipeline_root: ftp://pets/root', 'pipeline_root: must be a folder on a disk or volume'),
        ('push: {url: pets}', 'push.url: must be s3://BUCKET/PREFIX or gs://BUCKET/PREFIX, got'),
        ('data: {source: folder, path: s3://pets}', "data.path: is a URL: set 'url' with source"),
        ('data: {path: ""}', 'data.path: should be a path: not empty, '),
        ('data: {path: "../a\\0b"}', 'data.path: should be a path: .* without null bytes'),
        ('data: {path: "../a\\ud800b"}', "data.path: 'utf-8' codec can't encode"),
        ('mlflow: {tracking_uri: pets}', 'mlflow.tracking_uri: Input should be a valid URL'),
        ('"A=B": x', 'A: unknown key'),
        ('"[1]": x', r'\[1\]: unknown key'),
        ('kubeflow: {secrets: [{secret: a, key: b, env: 1A}]}', 'secrets.0.env: should be the'),
        ('kubeflow: {image: "{{image}}"}', 'kubeflow: a value has {{, and Kubeflow'),
    ],
)
def test_mistake_is_one_line_with_the_file(write, text, message):
    path = write(text)

    with pytest.raises(ConfigError, match=message) as error:
        load_recipe(path)

    assert str(error.value).startswith(path)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 600


def test_reports_twenty_mistakes_and_the_number_of_further_ones():
    with pytest.raises(ConfigError) as error:
        recipe_of({'name': 'pets'} | {f'key{number}': 1 for number in range(22)})

    *lines, last = str(error.value).splitlines()
    assert len(lines) == 20
    assert last == 'recipe: 2 more mistakes'


def test_missing_recipe_lists_known_ones():
    with pytest.raises(
        ConfigError, match=r'recipe dmeo does not exist; .* one of cats_vs_dogs, de'
    ):
        load_recipe('dmeo')


@pytest.mark.parametrize(
    ('file', 'name'),
    [('Pets.yaml', 'pets'), ('My best cats.yaml', 'my_best_cats'), ('a-b_2.yaml', 'a-b_2')],
)
def test_recipe_without_a_name_is_called_after_its_file(write, file, name):
    assert load_recipe(write('description: mine', file)).name == name


def test_place_in_object_storage_is_a_path_here_and_a_url_in_json(tmp_path, monkeypatch):
    monkeypatch.setenv('CATDOG_CACHE', str(tmp_path))
    recipe = recipe_of({'name': 'pets', 'workdir': 's3://bucket/runs/'})
    assert recipe.home == tmp_path / 's3' / 'bucket' / 'runs' / 'pets'
    assert recipe.serving_bucket == recipe.home / 'serving'
    assert json.loads(recipe.as_json())['workdir'] == 's3://bucket/runs'
    assert Recipe.model_validate_json(recipe.as_json()).home == recipe.home


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        (
            {'workdir': 's3://b', 'pipeline_root': '/a'},
            'pipeline_root and workdir: one is a folder',
        ),
        ({'workdir': '/a', 'push_directory': 'gs://b/c'}, 'push_directory and workdir: one is a'),
        ({'workdir': 's3://b', 'push': {'url': 's3://c'}}, 'the bucket of workdir has the pushed'),
        ({'workdir': 's3://b/../c'}, 'is neither a local folder nor'),
        ({'workdir': '/pets [2024]'}, 'workdir: must have none of'),
        ({'push_directory': 'a?'}, 'push_directory: must have none of'),
        ({'workdir': 's3://'}, 'must be a folder on a disk or volume, s3://BUCKET/PREFIX or gs://'),
        ({'kubeflow': {'scratch': '0'}}, 'kubeflow.scratch'),
    ],
)
def test_places_are_all_in_object_storage_or_none(values, message):
    with pytest.raises(ConfigError, match=message):
        recipe_of({'name': 'pets', **values})
