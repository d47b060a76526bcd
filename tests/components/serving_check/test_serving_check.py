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
    """The probe in this process, on all cores."""
    monkeypatch.setattr(probing, '_use_one_core', lambda: None)
    monkeypatch.setattr(probing, '_SECONDS', 0.05)
    return probing.probe


def test_blesses_and_measures_model_in_subprocess(served, tmp_path):
    model, blessing = standard_artifacts.Model(), standard_artifacts.InfraBlessing()
    model.uri, blessing.uri = str(served.parent), str(tmp_path / 'blessing')
    config = ServingCheckConfig().model_dump_json()
    ServingCheck.EXECUTOR_SPEC.executor_class._FUNCTION(model, blessing, config, '1')
    assert blessing.get_int_custom_property('blessed') == 1
    found = Measurements.model_validate_json(
        (tmp_path / 'blessing' / MEASUREMENTS_FILE).read_text()
    )
    assert found.problems == ()
    assert found.largest_difference < 1e-5
    assert 0 < found.latency_ms <= found.latency_ms_p95 < 1000
    assert found.load_seconds > 0
    assert 1 < found.memory_mb < 2000
    assert found.size_mb == pytest.approx(
        sum(path.stat().st_size for path in served.rglob('*') if path.is_file()) / 1e6
    )


def test_checks_single_images_batches_and_invalid_images(probe, served):
    assert set(probe(served).checks) == {
        'serving_default, 1 image',
        'serving_default, 4 images',
        'serving_default, 4 images and 2 invalid',
        'serve_images, 1 image',
        'serve_images, 4 images',
        'serve_images, 4 images and 2 invalid',
        'explain_images, 1 image',
    }


def test_detects_other_weights(probe, make_model, small_network):
    (first, *_) = probe(make_model(exported=small_network(seed=1))).problems
    assert first.startswith('serving_default, 1 image: predictions differ')


def test_detects_nan_weights(probe, make_model, small_network):
    network = small_network()
    network.set_weights([np.full_like(each, np.nan) for each in network.get_weights()])
    found = probe(make_model(exported=network))
    assert found.problems[0].endswith('the prediction for a valid image is NaN or infinite')
    assert found.latency_ms is None


def test_detects_other_order_of_classes(probe, make_model):
    found = probe(make_model(classes=('dogs', 'cats')))
    assert found.problems[0].endswith('1 of 1 predicted classes differ')


def test_detects_batch_that_fails_for_one_invalid_image(probe, make_model, monkeypatch):
    everything = lambda each: tf.fill(tf.shape(each), True)  # noqa: E731
    monkeypatch.setattr('trainer.export.saved_model.is_complete', everything)
    problems = probe(make_model()).problems
    assert len(problems) == 2
    assert all('images and 2 invalid: failed: ' in each for each in problems)


def test_names_missing_signatures(probe, make_model):
    folder = make_model()
    loaded = tf.saved_model.load(str(folder))
    kept = {'serving_default': loaded.signatures['serving_default']}
    requests = (folder / features.WARMUP_FILE).read_bytes()
    tf.saved_model.save(loaded, str(folder), signatures=kept)
    (folder / features.WARMUP_FILE).write_bytes(requests)
    problem = 'the model has no signature serve_images, explain_images, serve_pixels'
    assert probe(folder).problems == (problem,)


def test_detects_truncated_graph(probe, make_model):
    folder = make_model()
    graph = folder / 'saved_model.pb'
    graph.write_bytes(graph.read_bytes()[:5000])
    (problem,) = probe(folder).problems
    assert problem.startswith('the model cannot be loaded: ')


@pytest.mark.parametrize(
    ('damage', 'words'),
    [
        (lambda path: path.unlink(), 'the model has no recorded requests'),
        (lambda path: path.write_bytes(b''), 'the file of recorded requests is empty'),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-9]),
            'the recorded requests are damaged',
        ),
    ],
)
def test_detects_unreadable_requests(probe, make_model, damage, words):
    folder = make_model()
    damage(folder / features.WARMUP_FILE)
    (problem,) = probe(folder).problems
    assert problem.startswith(words)


def test_reports_timeout(served):
    found = check(served, seconds=0.3)
    assert found.problems == ('the serving check had no result within 0.3 seconds',)
    assert found.size_mb > 0


@pytest.mark.parametrize(
    ('code', 'words'),
    [
        ('import os; os.kill(os.getpid(), 9)', 'the serving check was killed (SIGKILL), '),
        ('import os; os.abort()', 'the serving check crashed (SIGABRT)'),
        (
            'raise MemoryError("much")',
            'the serving check failed with exit code 1: MemoryError',
        ),
    ],
)
def test_describes_exit_of_process(code, words):
    assert _run([sys.executable, '-c', code], 20).startswith(words)


def test_rejects_unusable_model_without_failing_node(tmp_path):
    (tmp_path / 'Format-Serving').mkdir()
    model, blessing = standard_artifacts.Model(), standard_artifacts.InfraBlessing()
    model.uri, blessing.uri = str(tmp_path), str(tmp_path / 'blessing')
    config = ServingCheckConfig(seconds=1).model_dump_json()
    ServingCheck.EXECUTOR_SPEC.executor_class._FUNCTION(model, blessing, config, '1')
    assert blessing.get_int_custom_property('blessed') == 0
    problems = json.loads((tmp_path / 'blessing' / MEASUREMENTS_FILE).read_text())['problems']
    assert len(problems) == 1
