import pytest

from common.errors import ConfigError
from components.image_example_gen.sources.base.data_config import SplitConfig
from pipeline.config.recipe import RECIPES, load_recipe, parse_override
from pipeline.config.recipe_yaml import MAX_BYTES


@pytest.fixture
def write(tmp_path):
    """`write(text)` writes the recipe `mine.yaml`, and returns its path."""

    def write_recipe(text: str) -> str:
        path = tmp_path / 'mine.yaml'
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


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('trainer.batch_size', r'expected KEY=VALUE, as in trainer\.batch_size=64'),
        (' = 64', 'expected KEY=VALUE'),
        ('.=1', 'expected KEY=VALUE'),
        ('data..seed=1', 'expected KEY=VALUE'),
        (
            'trainer.augment={flip',
            r'--set trainer\.augment: not a YAML value: line 1, column 6: expected ',
        ),
    ],
)
def test_rejects_invalid_override(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_override(text)


@pytest.mark.parametrize(
    ('text', 'override', 'message'),
    [
        ('name: mine', 'trainer.epochz=3', 'command line: trainer.epochz: unknown key'),
        ('name: mine', 'trainer={epochz: 3}', 'command line: trainer.epochz: unknown key'),
        (
            'trainer: {augment: {flip: true}}',
            'trainer.augment.cached_views=1',
            '{} with the options: tr',
        ),
        ('trainer: {seed: x}', 'trainer.batch_size=8', '{}: trainer.seed: '),
    ],
)
def test_says_where_a_mistake_is(write, text, override, message):
    path = write(text)

    with pytest.raises(ConfigError) as caught:
        load_recipe(path, [parse_override(override)])

    assert str(caught.value).startswith(message.format(path))


def test_rejects_override_below_a_scalar(write):
    with pytest.raises(ConfigError, match=r'--set name\.first: name is a value, not a mapping'):
        load_recipe(write('name: mine'), [('name.first', 1)])


@pytest.mark.parametrize(
    'value', ['2026-11-31', '!!int x', '!!timestamp x', '9' * 5000, '[' * 1000], ids=range(5)
)
def test_invalid_yaml_value_is_one_error_line(write, value):
    with pytest.raises(ConfigError, match=r'^\S+ is not YAML: .{0,300}$'):
        load_recipe(write(f'trainer: {{seed: {value}}}'))
    with pytest.raises(ConfigError, match=r'^--set trainer\.seed: not a YAML value: .{0,100}$'):
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


def test_allows_merge_keys_and_same_key_in_several_sections(write):
    path = write(
        'trainer:\n'
        '  feature_extraction: &stage {epochs: 1, optimizer: sgd}\n'
        '  fine_tune: {<<: *stage, epochs: 2}\n'
    )

    trainer = load_recipe(path).trainer

    assert (trainer.feature_extraction.epochs, trainer.fine_tune.epochs) == (1, 2)
    assert trainer.fine_tune.optimizer == 'sgd'


def test_rejects_binary_file(tmp_path):
    path = tmp_path / 'image.yaml'
    path.write_bytes(b'\xff\xd8\xff\xe0')

    with pytest.raises(ConfigError, match=r'image\.yaml cannot be read'):
        load_recipe(str(path))


def test_missing_recipe_lists_known_ones():
    known = ', '.join(sorted(path.stem for path in RECIPES.glob('*.yaml')))

    with pytest.raises(ConfigError, match=f'recipe dmeo does not exist; .* one of {known}$'):
        load_recipe('dmeo')


def test_missing_recipe_suggests_a_similar_file_in_its_folder(tmp_path):
    (tmp_path / 'pets.yaml').write_text('name: pets')

    with pytest.raises(ConfigError, match=f'does not exist; did you mean {tmp_path}/pets.yaml[?] '):
        load_recipe(str(tmp_path / 'pet.yaml'))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            'trainer: {bach_size: 64}',
            r'trainer\.bach_size: unknown key; did you mean batch_size\? valid keys: image_size, ',
        ),
        ('xyz: 1', 'xyz: unknown key; valid keys: name, description, '),
        ('retrain: {drift_threshold: 0.2}', 'drift_threshold: removed: validation.drift'),
        ('trainer: {cache_gigabytes: 5}', 'cache_gigabytes: renamed to max_cache_gb$'),
        ('trainer: {\ndata: ]', r'is not YAML: .*line 2, column'),
        ('', 'is not a mapping; expected keys'),
        ('- trainer', 'is not a mapping'),
        (
            'trainer:\n  seed: 1\n  alpha: 1.0\n  seed: 1',
            "line 4, column 3: duplicate key 'seed', see line 2$",
        ),
        ('trainer: {seed: 1, seed: 2}', "line 1, column 20: duplicate key 'seed', see line 1$"),
        (
            'tuner: {space: {head.dropout: {low: 0.1, high: 0.4, step: 0.1}}}',
            'tuner.space.head.dropout.step: unknown key; valid keys: low, high, log$',
        ),
        (
            'tuner: {space: {head.dropout: [0.1, 2]}}',
            'tuner.space.head.dropout: 2: Input should be less than 1$',
        ),
        (
            'tuner: {space: {fine_tune.learning_rate: [0.1, 0.2]}}',
            'tuner.space.fine_tune.learning_rate: that stage has 0 epochs$',
        ),
        ('data: {source: web}', r"data.source: .*'drawings', 'folder', 'archive', .*, got 'web'$"),
        ('name: ../up', "name: string should match pattern .*, got '../up'$"),
        ('inference: {}', 'inference.path: missing$'),
        ('pipeline_root: gs://pets/root', 'pipeline_root: must be a folder on a disk or volume'),
        ('workdir: s3://pets/runs', 'workdir: must be a folder on a disk or volume'),
        ('push_directory: s3://pets', 'push_directory: must be a folder .* \\(push.url\\) can be'),
        ('push: {url: pets}', 'push.url: must be s3://BUCKET/PREFIX or gs://BUCKET/PREFIX, got'),
        ('push: {url: "s3://pets/*"}', 'push.url: must be s3://BUCKET/PREFIX'),
        ('data: {source: folder, path: s3://pets}', "data.path: is a URL: set 'url' with source"),
        ('inference: {path: "gs://bucket"}', 'inference.path: must be a local folder'),
        (
            'trainer: {class_weights: {cats: 0}}',
            'trainer.class_weights.cats: input should be greater than 0, got 0$',
        ),
        (
            'trainer: {class_weights: even}',
            "trainer.class_weights: input should be 'balanced' or .* by its name, got 'even'$",
        ),
    ],
)
def test_mistake_is_one_line_with_the_file(write, text, message):
    path = write(text)

    with pytest.raises(ConfigError, match=message) as error:
        load_recipe(path)

    assert str(error.value).startswith(path)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(('mistakes', 'lines'), [(20, 20), (21, 21), (22, 21)])
def test_reports_twenty_mistakes_and_the_number_of_further_ones(write, mistakes, lines):
    path = write('\n'.join(f'key{number}: 1' for number in range(mistakes)))

    with pytest.raises(ConfigError) as error:
        load_recipe(path)

    found = str(error.value).splitlines()
    assert len(found) == lines
    assert ('more mistakes' in found[-1]) == (mistakes > 20)
    if mistakes > 20:
        assert found[-1].endswith(f': {mistakes - 20} more mistakes')


def test_size_of_a_recipe_has_a_limit(write):
    text = 'description: all pets\n#'

    assert load_recipe(write(text.ljust(MAX_BYTES, '#'))).description == 'all pets'
    with pytest.raises(ConfigError, match='has more than 200 kB'):
        load_recipe(write(text.ljust(MAX_BYTES + 1, '#')))
