import pytest
from metadata_recorder import Recorder

from pipeline.registry.provenance import Provenance


@pytest.mark.parametrize(('test_images', 'expected'), [('a', 2), ('b', 1)])
def test_counts_models_that_were_judged_on_the_same_test_split(test_images, expected):
    recorder = Recorder()
    first = recorder.run({1: 'x'}, test_images='a')
    recorder.run({1: 'x'}, test_images='a', blessed=False)
    recorder.run({1: 'x'}, test_images='a', model=first)  # again, from the cache
    recorder.run({2: 'x'}, test_images='b')

    provenance = Provenance(recorder.store, 'pets')

    evaluation = recorder.artifact('ModelEvaluation', test_images=test_images)
    assert provenance.decisions_on_same_images(evaluation) == expected


def test_evaluation_of_an_earlier_version_counts_once():
    recorder = Recorder()
    recorder.run({1: 'x'})
    provenance = Provenance(recorder.store, 'pets')
    assert provenance.decisions_on_same_images(recorder.artifact('ModelEvaluation')) == 1
