"""Hashes of code and weights in the cache keys of nodes."""

import json
import shutil

import pytest

from common.errors import ConfigError
from common.features import FINE_TUNING_FILE
from pipeline import cache_key
from pipeline.cache_key import code_of, content_hash
from pipeline.config.recipe import load_recipe
from pipeline.execution.launch import compile_pipeline
from pipeline.graph import create_pipeline
from trainer.model import weights

PACKAGES = ('common', 'trainer', 'components', 'pipeline')
OPTIONAL = [
    ('trainer.warm_start', 'live'),
    ('tuner.space', {'head.dropout': [0.1, 0.2]}),
    ('converter', {}),
    ('inference.path', '/images'),
    ('data.window', 3),
]
# Nodes that read the stored predictions.
JUDGED = {'Evaluator', 'RobustnessEvaluator', 'ModelGate', 'Converter'}
# Nodes with a hash of their code.
WITH_CODE = {
    *JUDGED,
    'AnomalyGate',
    'Transform',
    'Tuner',
    'Trainer',
    'Predictor',
    'reference_predictor',
    'ServingCheck',
    'FolderPredictor',
}


def test_hashes_contents_of_modules_of_this_project(tmp_path, monkeypatch):
    code = code_of(load_recipe)
    assert code == code_of('pipeline.config.recipe') != code_of('pipeline.config.addresses')
    for package in PACKAGES:
        shutil.copytree(cache_key.ROOT / package, tmp_path / package)
    monkeypatch.setattr(cache_key, 'ROOT', tmp_path)
    assert code_of(load_recipe) == code
    (tmp_path / 'common' / '__init__.py').write_text('# changed')
    cache_key._digest.cache_clear()
    assert code_of(load_recipe) != code
    with pytest.raises(ModuleNotFoundError, match=r'trainer\.modle is not a module of this proj'):
        code_of('trainer.modle')


def test_split_settings_reach_the_trainer(tmp_path):
    given = {'data.splits.train': 8, 'data.group_by': {'pattern': '^(.)'}}
    overrides = {'workdir': str(tmp_path), 'data.source': 'folder', **given}
    pipeline = create_pipeline(load_recipe('demo', [*overrides.items()]), ('cat', 'dog'), 100)
    (trainer,) = (each for each in pipeline.components if each.id == 'Trainer')
    splitting = json.loads(trainer.exec_properties['custom_config'])['splitting']
    assert splitting['data.splits']['train'] == 8
    assert splitting['data.group_by']['pattern'] == '^(.)'


def test_choice_of_the_live_model_is_no_part_of_the_cache_key(tmp_path):
    """An unchanged second run, after the first one has pushed its choice, is cached."""
    auto = {'trainer.fine_tune.from_layer': 'auto', 'trainer.fine_tune.epochs': 'auto'}
    recipe = load_recipe('demo', [*{'workdir': str(tmp_path), **auto}.items()])

    def properties():
        nodes = create_pipeline(recipe, ('cat', 'dog'), 100).components
        (trainer,) = (each for each in nodes if each.id == 'Trainer')
        return trainer.exec_properties

    before = properties()
    file = recipe.serving_directory / '7' / FINE_TUNING_FILE
    file.parent.mkdir(parents=True)
    file.write_text('{}')

    assert properties() == before
    given = json.loads(before['custom_config'])
    assert given['serving'] == str(recipe.serving_directory)
    assert given['train']['fine_tune'].items() >= {'from_layer': 'auto', 'epochs': 'auto'}.items()


@pytest.fixture(scope='module')
def changed_nodes(tmp_path_factory):
    """`changed_nodes(module)`: IDs of nodes whose parameters change with the module."""
    recipe = load_recipe('demo', [('workdir', str(tmp_path_factory.mktemp('runs'))), *OPTIONAL])
    digest = cache_key._digest

    def parameters(changed=None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                cache_key, '_digest', lambda root, name: f'{digest(root, name)} {name == changed}'
            )
            ir = compile_pipeline(create_pipeline(recipe, ('cat', 'dog'), 100), 'run')
        return {
            node.node_info.id: {
                key: value.SerializeToString(deterministic=True)
                for key, value in node.parameters.parameters.items()
                if key != 'created'  # the Pusher always runs
            }
            for node in (each.pipeline_node for each in ir.nodes)
        }

    before = parameters()
    return lambda module: {
        node for node, values in parameters(module).items() if values != before[node]
    }


@pytest.mark.parametrize(
    ('module', 'expected'),
    [
        ('components.pusher.versions', set()),
        ('components.image_example_gen.ingestion.span', set()),
        ('components.evaluation.gate.rules', {'ModelGate'}),
        (
            'components.evaluation.predictions.prediction_files',
            {*JUDGED, 'Predictor', 'reference_predictor'},
        ),
        ('components.conversion.formats', {'Converter'}),
        ('components.serving_check.probe', {'ServingCheck'}),
        ('components.image_example_gen.inspection.examine', {'FolderPredictor'}),
        ('trainer.model.backbone', {'Trainer', 'Tuner'}),
        (
            'trainer.preprocessing',
            {'Transform', 'Trainer', 'Tuner', 'RobustnessEvaluator', 'Converter'},
        ),
        ('common', WITH_CODE),
    ],
)
def test_code_change_reruns_only_nodes_that_import_the_module(module, expected, changed_nodes):
    assert changed_nodes(module) == expected


def test_model_hash_depends_on_all_modules_of_the_package_of_the_user(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / 'users_package'
    (package / 'blocks').mkdir(parents=True)
    (package / 'model.py').write_text('from users_package.blocks import stem')
    (package / 'blocks' / 'stem.py').write_text('FILTERS = 8')
    (tmp_path / 'users_module.py').write_text('')
    hashes = [cache_key.model_hash('users_package.model:make')]
    (package / 'blocks' / 'stem.py').write_text('FILTERS = 16')
    hashes += map(cache_key.model_hash, ('users_package.model:make', 'users_module:make', None))
    assert len({*hashes}) == 4
    assert hashes[-1] is None


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        ('nope:f', "nope cannot be imported: ModuleNotFoundError: No module named 'nope'"),
        ('sys:exit', 'sys has no Python source'),
        ('users_failure:f', 'users_failure cannot be imported: ValueError: first'),
    ],
)
def test_reports_models_without_a_source(tmp_path, monkeypatch, model, message):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'users_failure.py').write_text(r"raise ValueError('first\nsecond')")
    with pytest.raises(ConfigError) as raised:
        cache_key.model_hash(model)
    assert str(raised.value) == f'trainer.model: {message}'


def test_content_hash_depends_on_the_file(tmp_path, monkeypatch):
    path = tmp_path / 'random'
    monkeypatch.setattr(weights, 'EMBEDDED_FILE', path)
    monkeypatch.chdir(tmp_path)
    path.write_bytes(b'first')
    before = content_hash('embedded')
    assert before == content_hash(str(path))
    path.write_bytes(b'second')
    assert content_hash('embedded') != before
    assert content_hash('random') == 'random'  # the keyword
