"""The workdir of pretraining, and errors of the command line."""

import dataclasses
import errno
import json
import os

import pytest
from click.testing import CliRunner

import pretraining.__main__ as command
from common.errors import ConfigError
from pretraining import workdir
from pretraining.settings import Counts, Settings
from pretraining.workdir import alone, claim
from trainer.model.weights import EMBEDDED_FILE

COUNTS = Counts(2, 1, 1, 4, figures_each=2, textures_each=2)
SMALL = Settings(size=32, batch=4, steps=1, counts=COUNTS)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(command, 'Settings', lambda **given: dataclasses.replace(SMALL, **given))


def call(*words: object):
    return CliRunner().invoke(command.main, [str(word) for word in words])


def test_rejects_concurrent_pretraining(tmp_path):
    output = tmp_path / 'made.weights.h5'
    with alone(tmp_path):
        result = call('--workdir', tmp_path, '--output', output)
    assert result.exit_code == 1
    assert f'another pretraining is going on in {tmp_path}' in result.output


def test_rejects_workdir_of_other_settings(tmp_path):
    claim(tmp_path, SMALL)
    claim(tmp_path, dataclasses.replace(SMALL))
    with pytest.raises(ConfigError, match='other settings or code; give another --workdir'):
        claim(tmp_path, dataclasses.replace(SMALL, steps=2))


def test_rejects_workdir_of_other_code(tmp_path, monkeypatch):
    claim(tmp_path, SMALL)
    monkeypatch.setattr(workdir, 'code_digest', lambda: 'another')
    with pytest.raises(ConfigError, match='other settings or code'):
        claim(tmp_path, SMALL)


def test_rejects_workdir_with_damaged_settings(tmp_path):
    claim(tmp_path, SMALL)
    assert json.loads((tmp_path / 'settings.json').read_text())['steps'] == 1
    (tmp_path / 'settings.json').write_text('')
    with pytest.raises(ConfigError, match='other settings'):
        claim(tmp_path, SMALL)


@pytest.mark.parametrize('option', [('--seed', 1), ('--steps', 2)])
def test_other_settings_do_not_overwrite_the_embedded_weights(option, tmp_path):
    before = EMBEDDED_FILE.read_bytes()
    result = call(*option, '--workdir', tmp_path / 'work')
    assert result.exit_code == 2
    assert 'give --output' in result.output
    assert not (tmp_path / 'work').exists()
    assert EMBEDDED_FILE.read_bytes() == before


@pytest.mark.parametrize(
    ('option', 'name', 'wrong'),
    [
        ('--output', 'w.h5', 'does not end with .weights.h5'),
        ('--output', 'no/w.weights.h5', 'no is no folder'),
        ('--look', 'sheet.jpg', 'does not end with .png'),
        ('--look', 'no/sheet.png', 'no is no folder'),
    ],
)
def test_rejects_invalid_file_names_before_drawing(option, name, wrong, tmp_path):
    result = call(option, tmp_path / name, '--workdir', tmp_path / 'work')
    assert result.exit_code == 2
    assert wrong in result.output
    assert not (tmp_path / 'work').exists()


def test_reports_workdir_that_cannot_be_created(tmp_path):
    (tmp_path / 'file').touch()
    result = call('--workdir', tmp_path / 'file' / 'work', '--output', tmp_path / 'w.weights.h5')
    assert result.exit_code == 1
    assert 'Not a directory' in result.output


def test_reports_full_disk_and_removes_partial_files(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'posix_fallocate', full)
    result = call('--workdir', tmp_path / 'work', '--output', tmp_path / 'w.weights.h5')
    assert result.exit_code == 1
    assert 'figures-' in result.output
    assert 'No space left on device' in result.output
    assert not list((tmp_path / 'work').glob('figures-*'))
