"""Lineage of versions, and how many models a test split has judged."""

import dataclasses

import pytest

from common.errors import ModelError
from components.image_example_gen.sources.base.data_config import DataConfig
from pipeline.models import lineage


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
    second = pets.train({1: 'aaaa', 2: 'bbbb'}, base=first, reference=first, config=config())
    pets.train({2: 'bbbb'}, base=second, reference=second, blessed=False, config=config())
    third = pets.train({2: 'bbbb', 3: 'cccc'}, base=second, reference=second, config=config())
    return [pets.push(each) for each in (first, second, third)]


@pytest.mark.parametrize('form', ['version', 'folder', 'live', 'moved'])
def test_traces_version_or_folder_to_all_its_parents(pets, three, form):
    given = {'version': three[2].name, 'folder': str(three[2]), 'live': None, 'moved': None}
    if form == 'moved':  # its note has another number then
        three[2].rename(pets.serving / '9999999999')

    found = lineage.trace(pets.provenance, pets.serving, given[form])

    assert found.model.version == ('9999999999' if form == 'moved' else three[2].name)
    assert found.model.spans == {2: 'bbbb', 3: 'cccc'}
    assert (found.model.run, found.model.code) == ('run-4', 'code4')
    assert [each.version for each in found.parents] == [three[1].name, three[0].name]
    assert found.reference.version == three[1].name


def test_reference_that_was_only_in_the_serving_folder_has_no_run(pets, recorder, trace):
    adopted = recorder.artifact('Model', uri=f'{recorder.folder}/9')
    recorder.execution('catdog.Adopted', {}, {'model': [adopted]}, [recorder.pipeline])
    reference = trace(pets.train({1: 'aaaa'}, reference=adopted)).reference
    assert (reference.artifact, reference.run) == (adopted.uri, '')


def test_first_model_has_no_parent_and_no_reference(pets, three):
    found = lineage.trace(pets.provenance, pets.serving, three[0].name)
    assert (found.parents, found.reference, found.model.weights) == ((), None, 'random')


def test_unknown_version_and_model(pets, three):
    with pytest.raises(ModelError, match=f'version in .*: {", ".join(e.name for e in three)}$'):
        lineage.trace(pets.provenance, pets.serving, '7')
    (three[2] / 'saved_model.pb').write_text('copied')
    with pytest.raises(ModelError, match=r'do not have the model of .*: it was copied there'):
        lineage.trace(pets.provenance, pets.serving, None)


def test_parent_requires_equal_architecture(pets, trace):
    first = pets.train({1: 'a'}, config=config(alpha=0.35))
    second = pets.train({2: 'b'}, base=first, reference=first, config=config(alpha=1.0))
    assert trace(second).parents == ()


@pytest.mark.parametrize('known', [True, False])
def test_model_has_its_images_weights_and_changed_hyperparameters(pets, recorder, trace, known):
    given = {'weights': '/data/mine.weights.h5', **config()['train']}
    model = pets.train({1: 'a', 2: 'b'}, config={'train': given, 'weights': '0123456789abcdef'})
    data = DataConfig(source='folder', path='/home/ann/pets')
    text = data.model_dump_json() if known else '{"folder": "/pets"}'  # of another release
    ingestion = 'components.image_example_gen.image_example_gen.ImageExampleGen'
    for each in recorder.store.get_artifacts_by_type('Examples'):
        recorder.execution(ingestion, {}, {'examples': [each]}, [recorder.pipeline], data=text)

    found = dataclasses.asdict(trace(model).model)

    expected = {
        'version': pets.live.name,
        'data': data.describe() if known else None,
        'classes': ('cats', 'dogs'),
        'weights': '/data/mine.weights.h5 (0123456789abcdef)',
        'changed': {'weights': '/data/mine.weights.h5', 'alpha': 0.35, 'head.dropout': 0.5},
    }
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(('test_images', 'judged'), [('a', 2), ('b', 1)])
def test_counts_models_that_were_judged_on_the_same_test_split(pets, test_images, judged):
    recorder = pets.recorder
    first = recorder.run({1: 'x'}, test_images='a')
    recorder.run({1: 'x'}, test_images='a', blessed=False)
    recorder.run({1: 'x'}, test_images='a', model=first)  # again, from the cache
    recorder.run({2: 'x'}, test_images='b')

    predictions = recorder.artifact('catdog.Predictions', test_images=test_images)
    assert pets.provenance.decisions_on_same_images(predictions) == judged
