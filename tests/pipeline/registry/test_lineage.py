"""From a pushed version back to what it was made of."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from common.errors import ModelError
from pipeline.registry import lineage
from pipeline.registry.lineage import trace


def shown(found: lineage.Lineage) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(lineage.as_tree(found))
    return capture.get()


def config(alpha: float = 0.35) -> dict:
    return {'train': {'alpha': alpha, 'batch_size': 32, 'head': {'dropout': 0.5, 'hidden': []}}}


@pytest.fixture
def three(recorder):
    """Three models, each continuing from the one before, and one that was not good enough."""
    first = recorder.run({1: 'aaaa'}, config=config())
    second = recorder.run({1: 'aaaa', 2: 'bbbb'}, base=first, baseline=first, config=config())
    recorder.run({2: 'bbbb'}, base=second, baseline=second, blessed=False, config=config())
    recorder.run({2: 'bbbb', 3: 'cccc'}, base=second, baseline=second, config=config())
    return recorder


def test_a_version_leads_back_to_all_that_it_continues_from(three):
    found = trace(three.store, 'pets', '1004')
    assert found.model.spans == {2: 'bbbb', 3: 'cccc'}
    assert (found.model.run, found.model.code) == ('run-4', 'code4')
    assert [each.version for each in found.parents] == ['1002', '1001']
    assert [each.code for each in found.parents] == ['code2', 'code1']
    assert found.baseline.version == '1002'


def test_the_first_model_has_no_parent_and_no_baseline(three):
    found = trace(three.store, 'pets', '1001')
    assert found.parents == ()
    assert found.baseline is None
    text = shown(found)
    assert 'compared with no earlier model' in text
    assert 'started from weights: random' in text


@pytest.mark.parametrize('name', ['embedded', '/data/mine.weights.h5'])
def test_a_file_of_weights_is_named_with_the_digest_of_what_was_in_it(recorder, name):
    recorder.run({1: 'a'}, config={'train': {'weights': name}, 'weights': '0123456789abcdef'})
    found = trace(recorder.store, 'pets', '1001')
    assert found.model.weights == f'{name} (0123456789abcdef)'
    assert f'started from weights: {name} (0123456789abcdef)' in shown(found)


@pytest.mark.parametrize(
    'model', ['1002', '/serving/1002', '/serving/1002/', Path('/serving/1002')]
)
def test_a_model_is_a_version_or_its_folder(three, model):
    assert trace(three.store, 'pets', str(model)).model.version == '1002'


def test_an_unknown_model_is_refused_with_those_that_are_known(three):
    message = '7 is no model that pets has pushed; known versions: 1001, 1002, 1004$'
    with pytest.raises(ModelError, match=message):
        trace(three.store, 'pets', '7')


@pytest.mark.parametrize('pipeline', ['others', 'none'])
def test_a_recipe_that_pushed_nothing_says_so(three, pipeline):
    store = three.store if pipeline == 'others' else None
    with pytest.raises(ModelError, match='it has pushed none'):
        trace(store, pipeline, '1001')


def test_weights_that_did_not_fit_are_no_parent(recorder):
    first = recorder.run({1: 'a'}, config=config(alpha=0.35))
    recorder.run({2: 'b'}, base=first, baseline=first, config=config(alpha=1.0))
    found = trace(recorder.store, 'pets', '1002')
    assert found.parents == ()
    assert found.baseline.version == '1001'


def test_a_parent_that_was_never_pushed_is_named_by_its_place(recorder):
    first = recorder.run({1: 'a'}, blessed=False, config=config())
    recorder.run({2: 'b'}, base=first, config=config())
    assert 'the model in /models/1' in shown(trace(recorder.store, 'pets', '1002'))


def test_a_person_sees_spans_code_and_what_is_not_the_default(three):
    text = shown(trace(three.store, 'pets', '1004'))
    for words in (
        'version 1004, /serving/1004',
        'span 3, fingerprint cccc',
        'code code4',
        'alpha: 0.35',
        'head.dropout: 0.5',
        'compared with version 1002',
        'version 1001',
        'weights: random',
    ):
        assert words in text
    assert 'batch_size' not in text


def test_programs_get_the_same_as_json(three):
    values = json.loads(lineage.as_json(trace(three.store, 'pets', '1004')))
    assert values['model']['spans'] == {'2': 'bbbb', '3': 'cccc'}
    assert values['parents'][0]['hyperparameters']['alpha'] == 0.35
    assert values['baseline']['version'] == '1002'
