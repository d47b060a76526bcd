"""Lineage of versions."""

import pytest
from rich.console import Console

from common.errors import ModelError
from components.image_example_gen.sources.base.data_config import DataConfig
from pipeline.code_version import COMMIT
from pipeline.registry import lineage


def rendered(found: lineage.Lineage) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(lineage.as_tree(found))
    return capture.get()


def config(alpha: float = 0.35) -> dict:
    return {'train': {'alpha': alpha, 'batch_size': 32, 'head': {'dropout': 0.5, 'hidden': []}}}


@pytest.fixture
def trace(pets):
    """`trace(model)` pushes a model and traces its version."""

    def call(model):
        return lineage.trace(pets.provenance, pets.serving, pets.push(model).name)

    return call


@pytest.fixture
def three(pets):
    """Three pushed versions, each warm-started from the one before, and one rejected model."""
    first = pets.train({1: 'aaaa'}, config=config())
    second = pets.train({1: 'aaaa', 2: 'bbbb'}, base=first, baseline=first, config=config())
    pets.train({2: 'bbbb'}, base=second, baseline=second, blessed=False, config=config())
    third = pets.train({2: 'bbbb', 3: 'cccc'}, base=second, baseline=second, config=config())
    return [pets.push(each) for each in (first, second, third)]


@pytest.mark.parametrize('form', ['version', 'folder', 'live', 'moved'])
def test_traces_version_or_folder_to_all_its_parents(pets, three, form):
    given = {'version': three[2].name, 'folder': str(three[2]), 'live': None, 'moved': None}
    if form == 'moved':  # its note has another number then
        three[2].rename(pets.serving / '9999999999')

    found = lineage.trace(pets.provenance, pets.serving, given[form])

    assert found.model.spans == {2: 'bbbb', 3: 'cccc'}
    assert (found.model.run, found.model.code) == ('run-4', 'code4')
    assert [each.version for each in found.parents] == [three[1].name, three[0].name]
    assert found.baseline.version == three[1].name


def test_first_model_has_no_parent_and_no_baseline(pets, three):
    text = rendered(lineage.trace(pets.provenance, pets.serving, three[0].name))
    assert 'compared with no earlier model' in text
    assert 'started from weights: random' in text


@pytest.mark.parametrize('name', ['embedded', '/data/mine.weights.h5'])
def test_shows_digest_of_weights_file(pets, trace, name):
    custom = {'train': {'weights': name}, 'weights': '0123456789abcdef'}
    assert trace(pets.train({1: 'a'}, config=custom)).model.weights == f'{name} (0123456789abcdef)'


def test_unknown_version_and_model(pets, three):
    with pytest.raises(ModelError, match=f'version in .*: {", ".join(e.name for e in three)}$'):
        lineage.trace(pets.provenance, pets.serving, '7')
    (three[2] / 'saved_model.pb').write_text('copied')
    with pytest.raises(ModelError, match=r'do not have the model of .*: it was copied there'):
        lineage.trace(pets.provenance, pets.serving, None)


def test_parent_requires_equal_architecture(pets, trace):
    first = pets.train({1: 'a'}, config=config(alpha=0.35))
    second = pets.train({2: 'b'}, base=first, baseline=first, config=config(alpha=1.0))
    assert trace(second).parents == ()


def test_tree_shows_parents_spans_code_and_changed_hyperparameters(pets, trace):
    first = pets.train({1: 'aaaa'}, blessed=False, config=config())
    second = pets.train({2: 'b', 3: 'cccc'}, base=first, baseline=first, config=config())
    text = rendered(trace(second))
    for words in (
        f'version {pets.live.name}, {pets.live}',
        'span 3, fingerprint cccc',
        'code code2',
        'alpha: 0.35',
        'head.dropout: 0.5',
        f'compared with the model in {first.uri}',
        'weights: random',
    ):
        assert words in text
    assert 'batch_size' not in text


def record_ingestion(recorder, data):
    for examples in recorder.store.get_artifacts_by_type('Examples'):
        recorder.execution(
            'components.image_example_gen.image_example_gen.ImageExampleGen',
            {},
            {'examples': [examples]},
            [recorder.pipeline],
            data=data,
        )


def test_shows_data_classes_and_git_commit(pets, recorder, trace):
    model = pets.train({1: 'a', 2: 'b'})
    data = DataConfig(source='folder', path='/home/ann/pets')
    record_ingestion(recorder, data.model_dump_json())
    (trainer,) = recorder.store.get_executions_by_type('tfx.components.trainer.component.Trainer')
    trainer.custom_properties[COMMIT].string_value = '0123abcd + changes'
    recorder.store.put_executions([trainer])

    found = trace(model)

    assert (found.model.data, found.model.classes) == (data.describe(), ('cats', 'dogs'))
    text = rendered(found)
    assert 'images of folder /home/ann/pets' in text
    assert 'classes: cats, dogs' in text
    assert 'code code1, git commit 0123abcd + changes' in text


def test_data_of_another_version_of_the_program_is_left_out(pets, recorder, trace):
    model = pets.train({1: 'a'})
    record_ingestion(recorder, '{"folder": "/pets"}')
    assert trace(model).model.data is None
