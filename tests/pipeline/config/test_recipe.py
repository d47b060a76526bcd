from pathlib import Path

import pytest
from pydantic import ValidationError

from common.errors import ConfigError
from components.image_example_gen.sources.base.config import SplitConfig
from pipeline.config.recipe import RECIPES, load_recipe, parse_override


@pytest.fixture
def write(tmp_path):
    """`write(text)` writes the recipe `mine.yaml`, and returns its path."""

    def write_recipe(text: str) -> str:
        path = tmp_path / 'mine.yaml'
        path.write_text(text)
        return str(path)

    return write_recipe


@pytest.mark.parametrize('path', sorted(RECIPES.glob('*.yaml')), ids=lambda path: path.stem)
def test_included_recipes_load_by_name_and_have_descriptions(path):
    recipe = load_recipe(path.stem)

    assert recipe.name == path.stem
    assert recipe.description


def test_empty_recipe_has_defaults(write):
    recipe = load_recipe(write('{}'))

    assert recipe.data.source == 'drawings'
    assert recipe.data.splits == SplitConfig(train=3, eval=1, test=1, test_share_of_validation=0.2)
    assert (recipe.trainer.image_size, recipe.trainer.alpha) == (160, 1.0)
    assert recipe.evaluation.baseline_accuracy == 0.9


@pytest.mark.parametrize(('text', 'name'), [('description: a', 'mine'), ('name: other', 'other')])
def test_name_defaults_to_file_name(write, text, name):
    assert load_recipe(write(text)).name == name


def test_loads_same_recipe_by_path_and_name():
    assert load_recipe(str(RECIPES / 'demo.yaml')) == load_recipe('demo')


def test_home_is_named_folder_in_workdir(write, tmp_path):
    recipe = load_recipe(write('{}'), [('workdir', str(tmp_path))])

    assert recipe.home == tmp_path / 'mine'
    assert recipe.serving_directory == tmp_path / 'mine' / 'serving'


def test_push_directory_sets_serving_directory(write, tmp_path):
    recipe = load_recipe(write(f'push_directory: {tmp_path}/models'))

    assert recipe.serving_directory == tmp_path / 'models'


def test_override_changes_only_one_nested_key(write):
    path = write('trainer: {fine_tune: {epochs: 5}}')

    recipe = load_recipe(path, [('trainer.fine_tune.from_layer', 120)])

    assert recipe.trainer.fine_tune.from_layer == 120
    assert recipe.trainer.fine_tune.epochs == 5


def test_override_creates_missing_sections(write):
    recipe = load_recipe(write('{}'), [('data.splits.test', 2)])

    assert recipe.data.splits == SplitConfig(test=2)


def test_last_override_of_a_key_wins(write):
    changes = [('trainer.seed', 1), ('trainer.seed', 2)]

    assert load_recipe(write('{}'), changes).trainer.seed == 2


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('trainer.batch_size=64', ('trainer.batch_size', 64)),
        (
            'trainer.fine_tune.from_layer=block_14_expand',
            ('trainer.fine_tune.from_layer', 'block_14_expand'),
        ),
        ('trainer.augment={flip: true}', ('trainer.augment', {'flip': True})),
        ('push_directory=null', ('push_directory', None)),
        ('description=a=b', ('description', 'a=b')),
    ],
)
def test_parses_override_value_as_yaml(text, expected):
    assert parse_override(text) == expected


@pytest.mark.parametrize('text', ['trainer.batch_size', '=64', ' = 64'])
def test_rejects_override_without_key_or_equals_sign(text):
    with pytest.raises(ConfigError, match=r'expected KEY=VALUE, as in trainer\.batch_size=64'):
        parse_override(text)


def test_rejects_override_that_is_not_yaml():
    with pytest.raises(ConfigError, match=r"--set trainer\.augment: '\{flip' is not a YAML value"):
        parse_override('trainer.augment={flip')


def test_rejects_override_below_a_scalar(write):
    with pytest.raises(ConfigError, match=r'--set name\.first: name is a value, not a mapping'):
        load_recipe(write('name: mine'), [('name.first', 1)])


def test_unknown_key_gets_suggestion_and_valid_keys(write):
    path = write('trainer: {bach_size: 64}')

    message = r'bach_size: unknown key; did you mean batch_size\? valid keys: image_size, alpha, '
    with pytest.raises(ConfigError, match=rf'trainer\.{message}'):
        load_recipe(path)


def test_unknown_key_without_similar_key_gets_no_suggestion(write):
    with pytest.raises(ConfigError, match=r'xyz: unknown key; valid keys: name, description, '):
        load_recipe(write('xyz: 1'))


def test_removed_key_names_replacement(write):
    path = write('retrain: {drift_threshold: 0.2}')

    with pytest.raises(
        ConfigError, match=r'yaml: retrain\.drift_threshold: removed: validation\.drift .*$'
    ):
        load_recipe(path)


def test_renamed_key_names_new_name(write):
    with pytest.raises(
        ConfigError, match=r'yaml: trainer\.cache_gigabytes: renamed to max_cache_gb'
    ):
        load_recipe(write('trainer: {cache_gigabytes: 5}'))


def test_removed_key_without_value_is_ignored(write):
    assert load_recipe(write('retrain: {drift_threshold: null}')) == load_recipe(write('{}'))


@pytest.mark.parametrize(
    'value', ['2026-11-31', '!!int x', '!!timestamp x', '9' * 5000, '[' * 3000], ids=range(5)
)
def test_invalid_yaml_value_is_one_error_line(write, value):
    with pytest.raises(ConfigError, match=r'^\S+ is not YAML: .{0,300}$'):
        load_recipe(write(f'trainer: {{seed: {value}}}'))
    with pytest.raises(ConfigError, match=r'^--set trainer\.seed: .{0,100} is not a YAML value$'):
        parse_override(f'trainer.seed={value}')


def test_reports_all_errors_with_received_and_valid_values(write):
    path = write(
        'trainer:\n'
        '  alpha: 0.6\n'
        '  image_size: big\n'
        '  feature_extraction: {optimizer: adamw}\n'
        'evaluation: {baseline_accuracy: 95}\n'
    )

    with pytest.raises(ConfigError) as caught:
        load_recipe(path)

    size, alpha, optimizer, accuracy = str(caught.value).splitlines()
    assert alpha.endswith(
        'trainer.alpha: input should be 0.35, 0.5, 0.75, 1.0, 1.3 or 1.4, got 0.6'
    )
    assert 'trainer.image_size: input should be a valid integer' in size
    assert size.endswith("got 'big'")
    assert optimizer.endswith("input should be 'adam', 'rmsprop' or 'sgd', got 'adamw'")
    assert accuracy.endswith('baseline_accuracy: input should be less than or equal to 1, got 95')
    assert all(line.startswith(f'{path}: ') for line in str(caught.value).splitlines())


def test_yaml_error_names_file_and_position(write):
    with pytest.raises(ConfigError, match=r'mine\.yaml is not YAML: .*line 2, column') as caught:
        load_recipe(write('trainer: {\ndata: ]'))
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('text', 'key', 'line', 'first'),
    [
        ('trainer: {}\ndata: {}\ntrainer: {seed: 1}', 'trainer', 3, 1),
        ('trainer:\n  seed: 1\n  alpha: 1.0\n  seed: 1', 'seed', 4, 2),
        ('trainer: {seed: 1, seed: 2}', 'seed', 1, 1),
    ],
)
def test_rejects_duplicate_keys_with_both_lines(write, text, key, line, first):
    path = write(text)

    with pytest.raises(ConfigError) as caught:
        load_recipe(path)

    assert str(caught.value) == f"{path}, line {line}: duplicate key '{key}', see line {first}"


def test_allows_merge_keys_and_same_key_in_several_sections(write):
    path = write(
        'trainer:\n'
        '  feature_extraction: &stage {epochs: 1, optimizer: sgd}\n'
        '  fine_tune: {<<: *stage, epochs: 2}\n'
    )

    trainer = load_recipe(path).trainer

    assert (trainer.feature_extraction.epochs, trainer.fine_tune.epochs) == (1, 2)
    assert trainer.fine_tune.optimizer == 'sgd'


@pytest.mark.parametrize('text', ['', '- trainer', 'trainer'])
def test_rejects_file_that_is_not_a_mapping(write, text):
    with pytest.raises(ConfigError, match='is not a mapping; expected keys'):
        load_recipe(write(text))


def test_rejects_binary_file(tmp_path):
    path = tmp_path / 'image.yaml'
    path.write_bytes(b'\xff\xd8\xff\xe0')

    with pytest.raises(ConfigError, match=r'image\.yaml cannot be read'):
        load_recipe(str(path))


def test_missing_recipe_lists_known_ones():
    known = ', '.join(sorted(path.stem for path in RECIPES.glob('*.yaml')))

    with pytest.raises(ConfigError, match=f'recipe dmeo does not exist; .* one of {known}$'):
        load_recipe('dmeo')


def test_recipe_is_frozen():
    recipe = load_recipe('demo')

    with pytest.raises(ValidationError, match='frozen'):
        recipe.workdir = Path('elsewhere')
    with pytest.raises(ValidationError, match='frozen'):
        recipe.trainer.seed = 1


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            'tuner: {space: {head.dropout: {low: 0.1, high: 0.4, step: 0.1}}}',
            r'tuner.space.head.dropout.step: unknown key; valid keys: low, high, log$',
        ),
        (
            'tuner: {space: {head.dropout: [0.1, 2]}}',
            r'tuner.space.head.dropout: 2: Input should be less than 1$',
        ),
        (
            'tuner: {space: {fine_tune.learning_rate: [0.1, 0.2]}}',
            r'tuner.space.fine_tune.learning_rate: that stage has 0 epochs$',
        ),
        ('data: {source: web}', r"data.source: .*'drawings', 'folder', 'archive', .*, got 'web'$"),
        ('name: ../up', r"name: string should match pattern .*, got '../up'$"),
        ('inference: {}', r'inference.path: missing$'),
        (
            'inference: {path: "gs://bucket"}',
            r'inference.path: must be a local folder',
        ),
        (
            'trainer: {class_weights: {cats: 0}}',
            r'trainer.class_weights.cats: input should be greater than 0, got 0$',
        ),
        (
            'trainer: {class_weights: even}',
            r"trainer.class_weights: input should be 'balanced' or .* by its name, got 'even'$",
        ),
    ],
)
def test_invalid_value_is_reported_on_one_line(write, text, message):
    with pytest.raises(ConfigError, match=message) as error:
        load_recipe(write(text))
    assert len(str(error.value).splitlines()) == 1
