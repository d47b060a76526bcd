"""Which nodes run again when a file of the project changes."""

import json
import shutil
import subprocess
import sys

import pytest

from pipeline import cache_key
from pipeline.cache_key import code_of, imported_modules
from pipeline.config.recipe import load_recipe
from pipeline.execution.compilation import compile_pipeline
from pipeline.graph import create_pipeline

PACKAGES = ('common', 'trainer', 'components', 'pipeline')
OPTIONAL = [
    ('trainer.warm_start', 'latest_blessed'),
    ('tuner.space', {'head.dropout': [0.1, 0.2]}),
    ('lite', {}),
    ('inference.path', '/images'),
    ('data.window', 3),
]
# Nodes with the hash of their code; a node runs again also when its inputs are new artifacts.
WITH_CODE = {
    'AnomalyGate',
    'Transform',
    'Tuner',
    'Trainer',
    'Evaluator',
    'RobustnessEvaluator',
    'ServingCheck',
    'LiteConverter',
    'ModelGate',
    'UnlabelledExampleGen',
    'BulkInferrer',
}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """`write(**sources)`: modules of a project of their own, by names with __ for a slash."""
    monkeypatch.setattr(cache_key, 'ROOT', tmp_path)

    def write_modules(**sources):
        for name, source in sources.items():
            file = tmp_path / f'{name.replace("__", "/")}.py'
            for folder in [file.parent, *file.parent.parents]:
                if folder == tmp_path:
                    break
                folder.mkdir(parents=True, exist_ok=True)
                (folder / '__init__.py').touch()
            file.write_text(source)

    return write_modules


def test_imports_are_followed_through_other_modules(write):
    write(
        trainer__run='import trainer.model.head\nfrom common.files import size',
        trainer__model__head='from trainer.config import train as config',
        trainer__config__train='LAYERS = 3',
        trainer__unused='',
        common__files='def size(): ...',
    )

    assert set(imported_modules('trainer.run')) == {
        'common',
        'common.files',
        'trainer',
        'trainer.config',
        'trainer.config.train',
        'trainer.model',
        'trainer.model.head',
        'trainer.run',
    }


@pytest.mark.parametrize(
    'source',
    [
        'def run():\n    from common import files',
        'class Model:\n    from common import files',
        'try:\n    import common.files\nexcept ImportError:\n    pass',
        'try:\n    pass\nexcept ImportError:\n    import common.files',
        'try:\n    pass\nfinally:\n    import common.files',
        'with gc:\n    for _ in ():\n        import common.files as f',
        'if fast:\n    pass\nelif slow:\n    import common.files',
        'match kind:\n    case 1:\n        import common.files',
        'if TYPE_CHECKING:\n    pass\nelse:\n    import common.files',
    ],
)
def test_imports_anywhere_in_a_file_count(source, write):
    write(trainer__run=source, common__files='')

    assert 'common.files' in imported_modules('trainer.run')


@pytest.mark.parametrize(
    'source',
    [
        'if TYPE_CHECKING:\n    from common import files',
        'if typing.TYPE_CHECKING:\n    import common.files',
        '"""import common.files"""',
        'import numpy.common.files',
    ],
)
def test_imports_that_do_not_run_or_are_not_ours_do_not_count(source, write):
    write(trainer__run=source, common__files='')

    assert set(imported_modules('trainer.run')) == {'trainer', 'trainer.run'}


def test_code_of_a_function_is_that_of_its_module():
    assert code_of(load_recipe) == code_of('pipeline.config.recipe')


def test_a_name_that_is_no_module_of_the_project_is_refused():
    with pytest.raises(ModuleNotFoundError, match=r'trainer\.modle is not a module of this proj'):
        code_of('trainer.modle')


def test_everything_that_python_loads_is_found():
    loaded = 'import sys, pipeline.config.recipe; print(*sys.modules)'
    command = [sys.executable, '-c', loaded]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    ours = {name for name in said.stdout.split() if name.partition('.')[0] in PACKAGES}

    assert ours <= set(imported_modules('pipeline.config.recipe'))
    assert len(ours) > 20


@pytest.fixture(scope='module')
def nodes_that_run_again(tmp_path_factory):
    """`nodes_that_run_again(file)`: ids of nodes that get other parameters if the file changes."""
    recipe = load_recipe('demo', [('workdir', str(tmp_path_factory.mktemp('runs'))), *OPTIONAL])

    def parameters(root):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cache_key, 'ROOT', root)
            ir = compile_pipeline(create_pipeline(recipe, ('cat', 'dog'), 100), 'run')
        nodes = (each.pipeline_node for each in ir.nodes)
        return {
            node.node_info.id: {
                key: value.SerializeToString(deterministic=True)
                for key, value in node.parameters.parameters.items()
                if key != 'looked'  # the Pusher always runs
            }
            for node in nodes
        }

    before = parameters(cache_key.ROOT)

    def compare(file):
        root = tmp_path_factory.mktemp('project')
        for package in PACKAGES:
            shutil.copytree(
                cache_key.ROOT / package,
                root / package,
                ignore=lambda folder, names: [name for name in names if name == '__pycache__'],
            )
        with (root / file).open('a') as changed:
            changed.write('\n# a comment\n')
        after = parameters(root)
        return {node for node, values in after.items() if values != before[node]}

    return compare


@pytest.mark.parametrize(
    ('file', 'expected'),
    [
        ('components/pusher/versions.py', set()),
        ('pipeline/report/write.py', set()),
        ('pipeline/graph.py', set()),
        ('components/image_example_gen/ingestion/records.py', set()),
        ('components/evaluation/metrics/counts.py', {'Evaluator'}),
        ('components/evaluation/metrics/slices.py', {'Evaluator'}),
        ('components/evaluation/gate/rules.py', {'ModelGate'}),
        ('components/evaluation/robustness/corruptions.py', {'RobustnessEvaluator'}),
        ('components/anomaly_gate/statistics_comparison.py', {'AnomalyGate'}),
        ('components/serving_check/probe.py', {'ServingCheck'}),
        ('components/lite_converter/conversion.py', {'LiteConverter'}),
        ('components/inference/folder_inferrer.py', {'BulkInferrer'}),
        ('components/image_example_gen/inspection/examine.py', {'UnlabelledExampleGen'}),
        ('trainer/model/backbone.py', {'Trainer', 'Tuner'}),
        ('trainer/preprocessing.py', {'Transform', 'RobustnessEvaluator'}),
        ('common/__init__.py', WITH_CODE),
    ],
)
def test_a_change_runs_exactly_the_nodes_that_use_the_file(file, expected, nodes_that_run_again):
    assert nodes_that_run_again(file) == expected


def test_a_copy_of_the_project_has_the_same_keys(nodes_that_run_again):
    assert nodes_that_run_again('pipeline/unused.py') == set()


def test_the_hash_that_the_lineage_shows_is_that_of_the_training_code(tmp_path):
    recipe = load_recipe('demo', [('workdir', str(tmp_path))])
    pipeline = create_pipeline(recipe, ('cat', 'dog'), 100)
    (trainer,) = (node for node in pipeline.components if node.id == 'Trainer')

    config = json.loads(trainer.exec_properties['custom_config'])

    assert config['code'] == code_of('trainer.run')
