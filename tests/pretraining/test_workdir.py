"""The folder of a pretraining, and what the command line says when something is in the way."""

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


def test_two_at_once_are_refused(tmp_path):
    output = tmp_path / 'made.weights.h5'
    with alone(tmp_path):
        result = call('--workdir', tmp_path, '--output', output)
    assert result.exit_code == 1
    assert f'another pretraining is going on in {tmp_path}' in result.output


def test_the_same_settings_go_on_and_others_do_not(tmp_path):
    claim(tmp_path, SMALL)
    claim(tmp_path, dataclasses.replace(SMALL))
    with pytest.raises(ConfigError, match='other settings or code; give another --workdir'):
        claim(tmp_path, dataclasses.replace(SMALL, steps=2))


def test_changed_code_does_not_go_on(tmp_path, monkeypatch):
    claim(tmp_path, SMALL)
    monkeypatch.setattr(workdir, 'code_digest', lambda: 'another')
    with pytest.raises(ConfigError, match='other settings or code'):
        claim(tmp_path, SMALL)


def test_damaged_settings_are_not_taken_for_the_same(tmp_path):
    claim(tmp_path, SMALL)
    assert json.loads((tmp_path / 'settings.json').read_text())['steps'] == 1
    (tmp_path / 'settings.json').write_text('')
    with pytest.raises(ConfigError, match='other settings'):
        claim(tmp_path, SMALL)


@pytest.mark.parametrize('option', [('--seed', 1), ('--steps', 2)])
def test_the_weights_of_recipes_are_not_replaced_by_others_by_accident(option, tmp_path):
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
def test_a_file_that_cannot_be_is_refused_before_anything_is_drawn(option, name, wrong, tmp_path):
    result = call(option, tmp_path / name, '--workdir', tmp_path / 'work')
    assert result.exit_code == 2
    assert wrong in result.output
    assert not (tmp_path / 'work').exists()


def test_a_workdir_that_cannot_be_made_is_told_in_one_sentence(tmp_path):
    (tmp_path / 'file').touch()
    result = call('--workdir', tmp_path / 'file' / 'work', '--output', tmp_path / 'w.weights.h5')
    assert result.exit_code == 1
    assert 'Not a directory' in result.output


def test_a_full_disk_is_told_in_one_sentence_and_left_as_it_was(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'posix_fallocate', full)
    result = call('--workdir', tmp_path / 'work', '--output', tmp_path / 'w.weights.h5')
    assert result.exit_code == 1
    assert 'figures-' in result.output
    assert 'No space left on device' in result.output
    assert not list((tmp_path / 'work').glob('figures-*'))
