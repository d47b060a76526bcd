"""Lineage of pushed versions."""

import pytest
from rich.console import Console

from common.errors import ModelError
from components.image_example_gen.sources.base.data_config import DataConfig
from pipeline.code_version import COMMIT
from pipeline.registry.lineage import Lineage, as_tree, trace


def rendered(lineage: Lineage) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(as_tree(lineage))
    return capture.get()


def config(alpha: float = 0.35) -> dict:
    return {'train': {'alpha': alpha, 'batch_size': 32, 'head': {'dropout': 0.5, 'hidden': []}}}


@pytest.fixture
def three(recorder):
    """Three pushed models, each warm-started from the one before, and one rejected model."""
    first = recorder.run({1: 'aaaa'}, config=config())
    second = recorder.run({1: 'aaaa', 2: 'bbbb'}, base=first, baseline=first, config=config())
    recorder.run({2: 'bbbb'}, base=second, baseline=second, blessed=False, config=config())
    recorder.run({2: 'bbbb', 3: 'cccc'}, base=second, baseline=second, config=config())
    return recorder


@pytest.mark.parametrize('model', ['1004', '/serving/1004', '/serving/1004/'])
def test_traces_version_or_folder_to_all_its_parents(three, model):
    found = trace(three.store, 'pets', model)
    assert found.model.spans == {2: 'bbbb', 3: 'cccc'}
    assert (found.model.run, found.model.code) == ('run-4', 'code4')
    assert [each.version for each in found.parents] == ['1002', '1001']
    assert found.baseline.version == '1002'


def test_first_model_has_no_parent_and_no_baseline(three):
    text = rendered(trace(three.store, 'pets', '1001'))
    assert 'compared with no earlier model' in text
    assert 'started from weights: random' in text


@pytest.mark.parametrize('name', ['embedded', '/data/mine.weights.h5'])
def test_shows_digest_of_weights_file(recorder, name):
    recorder.run({1: 'a'}, config={'train': {'weights': name}, 'weights': '0123456789abcdef'})
    model = trace(recorder.store, 'pets', '1001').model
    assert model.weights == f'{name} (0123456789abcdef)'


def test_unknown_version_lists_known_versions(three):
    with pytest.raises(ModelError, match=r'known versions: 1001, 1002, 1004$'):
        trace(three.store, 'pets', '7')
    for store in (three.store, None):
        with pytest.raises(ModelError, match='others has pushed no version 1001; it has pushed no'):
            trace(store, 'others', '1001')


def test_parent_requires_equal_architecture(recorder):
    first = recorder.run({1: 'a'}, config=config(alpha=0.35))
    recorder.run({2: 'b'}, base=first, baseline=first, config=config(alpha=1.0))
    assert trace(recorder.store, 'pets', '1002').parents == ()


def test_tree_shows_parents_spans_code_and_changed_hyperparameters(recorder):
    first = recorder.run({1: 'aaaa'}, blessed=False, config=config())
    recorder.run({2: 'b', 3: 'cccc'}, base=first, baseline=first, config=config())
    text = rendered(trace(recorder.store, 'pets', '1002'))
    for words in (
        'version 1002, /serving/1002',
        'span 3, fingerprint cccc',
        'code code2',
        'alpha: 0.35',
        'head.dropout: 0.5',
        'compared with the model in /models/1',
        'weights: random',
    ):
        assert words in text
    assert 'batch_size' not in text


def test_shows_data_classes_and_git_commit(recorder):
    recorder.run({1: 'a', 2: 'b'})
    data = DataConfig(source='folder', path='/home/ann/pets')
    for examples in recorder.store.get_artifacts_by_type('Examples'):
        recorder.execution(
            'components.image_example_gen.image_example_gen.ImageExampleGen',
            {},
            {'examples': [examples]},
            [recorder.pipeline],
            data=data.model_dump_json(),
        )
    (trainer,) = recorder.store.get_executions_by_type('tfx.components.trainer.component.Trainer')
    trainer.custom_properties[COMMIT].string_value = '0123abcd + changes'
    recorder.store.put_executions([trainer])

    lineage = trace(recorder.store, 'pets', '1001')

    assert (lineage.model.data, lineage.model.classes) == (data.describe(), ('cats', 'dogs'))
    text = rendered(lineage)
    assert 'images of folder /home/ann/pets' in text
    assert 'classes: cats, dogs' in text
    assert 'code code1, git commit 0123abcd + changes' in text


def test_data_of_another_version_of_the_program_is_left_out(recorder):
    recorder.run({1: 'a'})
    (examples,) = recorder.store.get_artifacts_by_type('Examples')
    recorder.execution(
        'components.image_example_gen.image_example_gen.ImageExampleGen',
        {},
        {'examples': [examples]},
        [recorder.pipeline],
        data='{"folder": "/pets"}',
    )

    assert trace(recorder.store, 'pets', '1001').model.data is None
