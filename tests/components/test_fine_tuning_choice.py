"""The choice of the live model, which the Trainer takes over."""

import pytest

from common.features import FINE_TUNING_FILE
from components import trainer_module
from components.trainer_module import read_choice
from trainer.results import FineTuningChoice

CHOICE = FineTuningChoice(basis={}, values={'epochs': 8}, reason='the head was poor')


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """The file in the live version."""
    file = tmp_path / '10' / FINE_TUNING_FILE
    file.parent.mkdir(parents=True)
    file.write_text(CHOICE.model_dump_json())
    monkeypatch.setattr(trainer_module, 'find_reference', lambda _: tmp_path / '10')
    return file


def test_choice_is_that_of_the_live_version(stored, tmp_path):
    assert read_choice(str(tmp_path)) == CHOICE
    assert read_choice('') is None  # the recipe has no `auto`


@pytest.mark.parametrize('text', [None, '{', '{}', '[1]'])
def test_missing_or_damaged_file_is_no_choice(stored, tmp_path, text):
    stored.unlink()
    if text:
        stored.write_text(text)
    assert read_choice(str(tmp_path)) is None
