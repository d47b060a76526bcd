"""What is read from a serving folder."""

import datetime
import json
import os

import pytest

from common.errors import ModelError
from components.pusher.serving_folder import find_model, holds, live_classes, pushed_at


@pytest.fixture
def serving(tmp_path):
    """One version, with classes."""
    file = tmp_path / 'serving' / '7' / 'assets.extra' / 'classes.json'
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(['cats', 'dogs']))
    (tmp_path / 'serving' / '7' / 'saved_model.pb').write_text('graph')
    return tmp_path / 'serving'


def test_empty_folder_hides_no_classes(serving):
    (serving / '9').mkdir()
    assert live_classes(serving) == ('cats', 'dogs')
    assert live_classes(serving / 'other') is None


def test_copied_version_was_pushed_when_it_was_copied(serving):
    os.utime(serving / '7', (1e9, 1e9))
    assert pushed_at(serving / '7') == datetime.datetime.fromtimestamp(1e9, datetime.timezone.utc)


@pytest.mark.parametrize('wanted', ['', '8'])
def test_unknown_version_is_one_error(serving, tmp_path, monkeypatch, wanted):
    monkeypatch.chdir(tmp_path)
    for folder in (serving, serving / 'none'):
        with pytest.raises(ModelError, match=f"'{wanted}' is neither a folder nor a version"):
            find_model(folder, wanted)


@pytest.mark.parametrize('name', ['saved_model.pb', 'variables/variables.index'])
def test_version_holds_only_the_same_graph_and_weights(serving, tmp_path, name):
    for folder in (serving / '7', tmp_path / 'model'):
        (folder / 'variables').mkdir(parents=True)
        (folder / 'saved_model.pb').write_text('graph')
        (folder / 'variables' / 'variables.index').write_text('index')
    assert holds(serving / '7', tmp_path / 'model')
    (tmp_path / 'model' / name).write_text('other')
    assert not holds(serving / '7', tmp_path / 'model')
