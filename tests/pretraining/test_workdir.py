"""The command line of pretraining: its files, and its errors."""

import dataclasses
import errno
import os

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import pretraining.__main__ as command
from common.errors import ConfigError
from pretraining import workdir
from pretraining.settings import Counts, Settings
from pretraining.training import Pretraining
from pretraining.workdir import alone, claim
from trainer.model.weights import EMBEDDED_FILE

pytestmark = pytest.mark.slow

COUNTS = Counts(2, 1, 1, 4, figures_each=2, textures_each=2)
SMALL = Settings(size=32, batch=4, steps=1, counts=COUNTS)


@pytest.fixture
def call(monkeypatch, tmp_path):
    """`call(*words)` calls the command with small settings and a workdir."""
    monkeypatch.setattr(command, 'Settings', lambda **given: dataclasses.replace(SMALL, **given))
    words = ['--workdir', tmp_path / 'work', '--output', tmp_path / 'made.weights.h5']
    return lambda *more: CliRunner().invoke(command.main, [str(word) for word in (*words, *more)])


def test_interrupted_pretraining_resumes_and_writes_weights(call, tmp_path, monkeypatch):
    def interrupt(run):
        raise KeyboardInterrupt

    monkeypatch.setattr(Pretraining, 'advance', interrupt)
    result = call()
    assert (result.exit_code, 'interrupted; the same command' in result.output) == (130, True)
    assert not (tmp_path / 'made.weights.h5').exists()
    monkeypatch.setattr(Pretraining, 'advance', lambda run: run.step.assign_add(1))
    assert call().exit_code == 0
    loaded = keras.applications.MobileNetV2((64, 64, 3), 0.35, include_top=False, weights=None)
    loaded.load_weights(tmp_path / 'made.weights.h5')
    # Residual blocks are initially the identity.
    assert not loaded.get_layer('block_2_project_BN').gamma.numpy().any()


def test_sheet_shows_scenes_from_gray_to_coloured(call, tmp_path):
    assert call('--look', tmp_path / 'sheet.png').exit_code == 0
    pixels = np.asarray(Image.open(tmp_path / 'sheet.png'))
    assert pixels.shape == (864, 1152, 3)
    assert np.ptp(pixels[:288], axis=2).max() <= 1
    assert np.ptp(pixels[576:], axis=2).mean() > 20


@pytest.mark.parametrize('change', ['settings', 'code', 'damage'])
def test_rejects_workdir_of_other_settings_or_code(tmp_path, monkeypatch, change):
    claim(tmp_path, SMALL)
    claim(tmp_path, SMALL)
    if change == 'code':
        monkeypatch.setattr(workdir, 'code_digest', lambda: 'another')
    if change == 'damage':
        (tmp_path / 'settings.json').write_text('')
    with pytest.raises(ConfigError, match='other settings or code; give another --workdir'):
        claim(tmp_path, dataclasses.replace(SMALL, steps=2 if change == 'settings' else 1))


@pytest.mark.parametrize(
    ('option', 'error'),
    [
        (('--output', EMBEDDED_FILE, '--seed', '1'), 'give --output'),
        (('--output', 'w.h5'), 'does not end with .weights.h5'),
        (('--output', 'no/w.weights.h5'), 'no is no folder'),
        (('--look', 'sheet.jpg'), 'does not end with .png'),
    ],
)
def test_rejects_invalid_options_before_drawing(call, tmp_path, option, error):
    result = call(*option)
    assert result.exit_code == 2
    assert error in result.output
    assert not (tmp_path / 'work').exists()


def test_reports_concurrent_pretraining_and_full_disk(call, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with alone(tmp_path / 'work'):
        result = call()
    assert (result.exit_code, 'another pretraining' in result.output) == (1, True)
    monkeypatch.setattr(os, 'posix_fallocate', full)
    result = call()
    assert (result.exit_code, 'No space left on device' in result.output) == (1, True)
    assert not list((tmp_path / 'work').glob('figures-*'))
