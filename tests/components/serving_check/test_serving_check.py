"""What the serving check says of models that serve and of those that do not."""

import json
import sys

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from common import features
from components.serving_check import probe as probing
from components.serving_check.check import _run, check
from components.serving_check.component import ServingCheck
from components.serving_check.config import ServingCheckConfig
from components.serving_check.measurements import MEASUREMENTS_FILE, Measurements


@pytest.fixture
def probe(monkeypatch):
    """The check without a process of its own, and on all cores."""
    monkeypatch.setattr(probing, '_keep_to_one_core', lambda: None)
    monkeypatch.setattr(probing, '_SECONDS', 0.05)
    return probing.probe


def test_a_model_that_serves_is_measured_and_blessed_by_a_process_of_its_own(served, tmp_path):
    model, blessing = standard_artifacts.Model(), standard_artifacts.InfraBlessing()
    model.uri, blessing.uri = str(served.parent), str(tmp_path / 'blessing')
    config = ServingCheckConfig().model_dump_json()
    ServingCheck.EXECUTOR_SPEC.executor_class._FUNCTION(model, blessing, config, '1')
    assert blessing.get_int_custom_property('blessed') == 1
    found = Measurements.model_validate_json(
        (tmp_path / 'blessing' / MEASUREMENTS_FILE).read_text()
    )
    assert found.problems == ()
    assert len(found.checks) == 7
    assert found.largest_difference < 1e-5
    assert 0 < found.latency_ms <= found.latency_ms_p95 < 1000
    assert found.load_seconds > 0
    assert 1 < found.memory_mb < 2000
    assert found.size_mb == pytest.approx(
        sum(path.stat().st_size for path in served.rglob('*') if path.is_file()) / 1e6
    )


def test_what_is_asked_covers_both_signatures_single_batch_and_images_that_are_none(probe, served):
    both = ('serving_default', 'serve_images')
    asked = set(probe(served).checks)
    for signature in both:
        assert f'{signature} answers 1 image as the Trainer does' in asked
        assert f'{signature} answers 4 images as the Trainer does' in asked
        assert f'{signature} answers 4 images beside two that are none' in asked


def test_other_weights_than_the_trainers_are_a_problem(probe, make_model, small_network):
    (first, *_) = probe(make_model(exported=small_network(seed=1))).problems
    assert 'serving_default answers 1 image as the Trainer does: the answers differ' in first


def test_weights_that_are_no_numbers_are_a_problem(probe, make_model, small_network):
    network = small_network()
    network.set_weights([np.full_like(each, np.nan) for each in network.get_weights()])
    found = probe(make_model(exported=network))
    assert found.problems[0].endswith('the answer to a whole image is not a number')
    assert found.latency_ms is None


def test_classes_in_another_order_are_a_problem(probe, make_model):
    found = probe(make_model(classes=('dogs', 'cats')))
    assert found.problems[0].endswith('1 of 1 classes are others')


def test_a_graph_that_refuses_a_batch_for_one_image_is_a_problem(probe, make_model, monkeypatch):
    everything = lambda each: tf.fill(tf.shape(each), True)  # noqa: E731
    monkeypatch.setattr('trainer.export.saved_model.is_complete', everything)
    problems = probe(make_model()).problems
    assert len(problems) == 2
    assert all('beside two that are none: refused: ' in each for each in problems)


def test_a_missing_signature_is_named(probe, make_model):
    folder = make_model()
    loaded = tf.saved_model.load(str(folder))
    kept = {'serving_default': loaded.signatures['serving_default']}
    requests = (folder / features.WARMUP_FILE).read_bytes()
    tf.saved_model.save(loaded, str(folder), signatures=kept)
    (folder / features.WARMUP_FILE).write_bytes(requests)
    words = 'it has no signature serve_images, explain_images, serve_pixels'
    assert probe(folder).problems == (words,)


def test_a_graph_that_is_cut_is_a_problem(probe, make_model):
    folder = make_model()
    graph = folder / 'saved_model.pb'
    graph.write_bytes(graph.read_bytes()[:5000])
    (problem,) = probe(folder).problems
    assert problem.startswith('it cannot be loaded: ')


@pytest.mark.parametrize(
    ('spoil', 'words'),
    [
        (lambda path: path.unlink(), 'no requests are recorded in it'),
        (lambda path: path.write_bytes(b''), 'its file of recorded requests is empty'),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-9]),
            'its recorded requests are damaged',
        ),
    ],
)
def test_requests_that_cannot_be_read_are_a_problem(probe, make_model, spoil, words):
    folder = make_model()
    spoil(folder / features.WARMUP_FILE)
    (problem,) = probe(folder).problems
    assert problem.startswith(words)


def test_a_model_that_takes_too_long_does_not_serve(served):
    found = check(served, seconds=0.3)
    assert found.problems == ('it did not answer within 0.3 seconds',)
    assert found.size_mb > 0


@pytest.mark.parametrize(
    ('code', 'words'),
    [
        ('import os; os.kill(os.getpid(), 9)', 'its process was killed (SIGKILL), as happens when'),
        ('import os; os.abort()', 'its process crashed (SIGABRT)'),
        ('raise MemoryError("much")', 'its process failed with exit code 1: MemoryError: much'),
    ],
)
def test_the_end_of_a_process_is_told_in_words(code, words):
    assert _run([sys.executable, '-c', code], 20).startswith(words)


def test_a_model_that_does_not_serve_is_no_failure_of_the_node(tmp_path):
    (tmp_path / 'Format-Serving').mkdir()
    model, blessing = standard_artifacts.Model(), standard_artifacts.InfraBlessing()
    model.uri, blessing.uri = str(tmp_path), str(tmp_path / 'blessing')
    config = ServingCheckConfig(seconds=1).model_dump_json()
    ServingCheck.EXECUTOR_SPEC.executor_class._FUNCTION(model, blessing, config, '1')
    assert blessing.get_int_custom_property('blessed') == 0
    problems = json.loads((tmp_path / 'blessing' / MEASUREMENTS_FILE).read_text())['problems']
    assert len(problems) == 1
