import functools
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from common import features
from common.errors import ModelError
from components.serving_check import probe as probing
from components.serving_check.measurements import MEASUREMENTS_FILE, Measurements
from components.serving_check.probe import difference
from components.serving_check.serving_check import ServingCheck, check


@pytest.fixture
def probe(monkeypatch):
    """The probe in this process, on all cores."""
    monkeypatch.setattr(probing, '_CALLS', 3)
    return probing.probe


@pytest.fixture
def copy(served, tmp_path):
    """A copy of the model that the test may change."""
    return shutil.copytree(served, tmp_path / 'copy')


def run_node(model_folder, target, seconds):
    """(blessed, measurements)"""
    model, blessing = standard_artifacts.Model(), standard_artifacts.InfraBlessing()
    model.uri, blessing.uri = str(model_folder), str(target)
    ServingCheck.test_call(model, blessing, seconds)
    found = Measurements.model_validate_json((target / MEASUREMENTS_FILE).read_text())
    return blessing.get_int_custom_property('blessed'), found


def test_blesses_and_measures_model_in_subprocess(served, tmp_path):
    blessed, found = run_node(served.parent, tmp_path / 'blessing', seconds=300)

    assert blessed == 1
    assert found.problems == ()
    assert found.largest_difference < 1e-5
    assert 0 < found.latency_ms <= found.latency_ms_p95
    assert found.load_seconds > 0
    assert 1 < found.memory_mb < 2000
    assert 0 < found.size_mb < 1


def test_checks_single_images_batches_and_invalid_images(probe, served):
    found = probe(served)

    assert found.latency_ms > 0
    assert set(found.checks) == {
        'serving_default, 1 image',
        'serving_default, 4 images',
        'serving_default, 4 images and 3 invalid',
        'serve_images, 1 image',
        'serve_images, 4 images',
        'serve_images, 4 images and 3 invalid',
        'explain_images, 1 image',
    }


def test_reports_every_difference_from_recorded_predictions(probe, copy, make_model, tmp_path):
    other = make_model(tmp_path / 'other', seed=1)
    shutil.copy(other / features.WARMUP_FILE, copy / features.WARMUP_FILE)

    found = probe(copy)

    assert len(found.problems) == 7
    assert found.problems[0].startswith('serving_default, 1 image: predictions differ')
    assert found.latency_ms is None


def outputs(probability=(0.2, 0.9), logit=(-1.4, 2.2), names=(b'cats', b'dogs')):
    return {
        features.PROBABILITY: np.array(probability, np.float32)[:, None],
        features.LOGIT: np.array(logit, np.float32)[:, None],
        features.CLASS: np.array(names, object)[:, None],
    }


@pytest.mark.parametrize(
    ('actual', 'words'),
    [
        (outputs(probability=(0.2, 0.901)), "differ from the Trainer's by up to 0.001"),
        (outputs(logit=(-1.4, np.nan)), 'logit has another shape, or NaN'),
        (outputs(probability=(0.2, np.inf)), 'probability has another shape, or NaN'),
        (outputs(names=(b'dogs', b'cats')), 'predicted classes differ'),
        (outputs((0.2,), (-1.4,), (b'cats',)), 'predicted classes differ'),
        (outputs(logit=(-1.4,)), 'logit has another shape'),
        ({features.CLASS: outputs()[features.CLASS]}, 'logit is missing'),
    ],
)
def test_detects_difference(actual, words):
    with pytest.raises(ModelError, match=words):
        difference(actual, outputs())


def test_the_prediction_for_an_invalid_image_is_nan():
    invalid = outputs((np.nan, 0.9), (np.nan, 2.2), (b'', b'dogs'))
    assert difference(invalid, invalid) == 0
    with pytest.raises(ModelError, match='NaN for other images'):
        difference(outputs(names=(b'', b'dogs')), invalid)


def test_tolerates_rounding_of_large_logits():
    actual, expected = outputs(logit=(-1.4, 1000.005)), outputs(logit=(-1.4, 1000))
    assert 4e-6 < difference(actual, expected) < 6e-6


@pytest.mark.slow
def test_detects_batch_that_fails_for_one_invalid_image(probe, make_model, tmp_path, monkeypatch):
    monkeypatch.setattr(tf.data.Dataset, 'ignore_errors', lambda images: images)

    problems = probe(make_model(tmp_path / 'model')).problems

    assert len(problems) == 2
    assert all('images and 3 invalid: ' in each for each in problems)


def test_names_a_missing_signature(probe, copy):
    loaded = tf.saved_model.load(str(copy))
    requests = (copy / features.WARMUP_FILE).read_bytes()
    kept = {'serving_default': loaded.signatures['serving_default']}
    tf.saved_model.save(loaded, str(copy), signatures=kept)
    (copy / features.WARMUP_FILE).write_bytes(requests)

    (problem,) = probe(copy).problems
    assert problem.endswith('has no signature serve_pixels')


@pytest.mark.parametrize(
    ('file', 'end', 'words'),
    [
        ('saved_model.pb', 5000, 'the model in '),
        (features.WARMUP_FILE, 0, 'the recorded requests are missing, empty or damaged'),
        (features.WARMUP_FILE, -9, 'the recorded requests are missing, empty or damaged'),
    ],
)
def test_detects_truncated_files(probe, copy, file, end, words):
    path = copy / file
    path.write_bytes(path.read_bytes()[:end])

    (problem,) = probe(copy).problems
    assert problem.startswith(words)


@pytest.mark.parametrize(
    ('code', 'words'),
    [
        ('import os; os.kill(os.getpid(), 9)', 'the serving check was killed by SIGKILL, '),
        ('raise MemoryError("much")', 'the serving check failed with exit code 1: MemoryError'),
    ],
)
def test_describes_exit_of_process(code, words, served, tmp_path, monkeypatch):
    (tmp_path / 'failing_probe.py').write_text(code)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))

    (problem,) = check(served, 300, 'failing_probe').problems

    assert problem.startswith(words)


def test_timeout_rejects_model_without_failing_node(tmp_path, monkeypatch):
    (tmp_path / 'Format-Serving').mkdir()
    (tmp_path / 'endless_probe.py').write_text('import threading; threading.Event().wait()')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    endless = functools.partial(check, module='endless_probe')
    monkeypatch.setattr('components.serving_check.serving_check.check', endless)

    blessed, found = run_node(tmp_path, tmp_path / 'blessing', seconds=1)

    assert blessed == 0
    assert found.problems == ('the serving check had no result within 1 s',)
