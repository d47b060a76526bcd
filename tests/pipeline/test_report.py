import dataclasses
from html.parser import HTMLParser
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2

from pipeline.config import load_recipe
from pipeline.launch import NodeResult
from pipeline.outcome import Outcome
from pipeline.report import write_report

BLESSED = Outcome(
    run_id='run-7', blessed=True, unchanged=False, accuracy=0.95, baseline_accuracy=0.9,
    previous_accuracy=0.94, reasons=(), pushed_to=Path('/m/2'), newest_version=Path('/m/2'),
)  # fmt: skip
NOT_BLESSED = Outcome(
    run_id='run-8', blessed=False, unchanged=False, accuracy=0.85, baseline_accuracy=0.9,
    previous_accuracy=None, reasons=('accuracy <0.85>, needs at least 0.9000',), pushed_to=None,
    newest_version=Path('/m/2'),
)  # fmt: skip


class Text(HTMLParser):
    """The words of a page, and the files that it would fetch."""

    def __init__(self, page):
        super().__init__()
        self.words, self.fetched = [], []
        self.feed(page)

    def handle_data(self, data):
        self.words += data.split()

    def handle_starttag(self, tag, attributes):
        values = [value for key, value in attributes if key in ('src', 'href') and value]
        self.fetched += [value for value in values if not value.startswith('#')]


@pytest.fixture
def page(tmp_path):
    """`page(outcome)`: the page of a run whose Trainer left curves."""
    (tmp_path / 'run' / 'pictures').mkdir(parents=True)
    (tmp_path / 'run' / 'pictures' / 'curves.svg').write_text('<?xml?><svg id="curves"></svg>')
    model_run = metadata_store_pb2.Artifact(uri=str(tmp_path / 'run'))

    def write(outcome):
        results = {'Trainer': NodeResult('Trainer', 12.34, False, {'model_run': [model_run]})}
        write_report(tmp_path / 'new' / 'r.html', load_recipe('demo'), results, outcome, 20.0)
        return (tmp_path / 'new' / 'r.html').read_text()

    return write


def test_the_page_says_that_the_model_is_live_and_where(page):
    words = ' '.join(Text(page(BLESSED)).words)

    assert 'Blessed Pushed to /m/2' in words
    assert 'this model 0.9500' in words
    assert 'last blessed model, same images 0.9400' in words


def test_the_page_says_why_a_model_is_not_live(page):
    words = ' '.join(Text(page(NOT_BLESSED)).words)

    assert 'Not blessed accuracy <0.85>, needs at least 0.9000' in words
    assert 'Pushed to' not in words
    assert 'last blessed model, same images none yet' in words


def test_warnings_are_in_the_page(page):
    moved = dataclasses.replace(BLESSED, warnings=('width of span 4 moved by 0.61 (limit 0.5)',))

    assert 'Warnings width of span 4 moved by 0.61' in ' '.join(Text(page(moved)).words)
    assert 'Warnings' not in Text(page(BLESSED)).words


def test_the_page_fetches_nothing_and_holds_the_curves(page):
    text = page(BLESSED)

    assert Text(text).fetched == []
    assert '<svg id="curves">' in text
    assert '<?xml' not in text


def test_seconds_of_each_component_are_in_the_page(page):
    assert 'Trainer 12.3' in ' '.join(Text(page(BLESSED)).words)
