"""What becomes of a run whose page cannot be written."""

import sys

import pytest

from common import console
from pipeline.config.recipe import load_recipe
from pipeline.report.store import put
from pipeline.report.write import write_report


def test_a_run_whose_page_cannot_be_written_is_no_failure(tmp_path, capsys):
    recipe = load_recipe('demo', [('workdir', str(tmp_path))])
    with console.output_to(sys.stdout):
        write_report(tmp_path / 'page.html', recipe, {}, None, 1.0)
    told = capsys.readouterr()
    assert told.out.startswith('warning: the page of the run cannot be written: AttributeError')
    assert 'Traceback' in told.err


def test_a_page_that_cannot_be_written_leaves_the_one_before(tmp_path):
    page = tmp_path / 'page.html'
    page.write_text('before')
    with pytest.raises(UnicodeEncodeError):
        put(page, 'half' * 9999 + '\udce9')
    assert [each.read_text() for each in tmp_path.iterdir()] == ['before']
