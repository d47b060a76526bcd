"""What becomes of a run whose page cannot be written."""

import sys

from common import console
from pipeline.config.recipe import load_recipe
from pipeline.report.write import write_report


def test_a_run_whose_page_cannot_be_written_is_no_failure(tmp_path, capsys):
    recipe = load_recipe('demo', [('workdir', str(tmp_path))])
    with console.output_to(sys.stdout):
        write_report(tmp_path / 'page.html', recipe, {}, None, 1.0)
    told = capsys.readouterr()
    assert told.out.startswith('warning: the page of the run cannot be written: AttributeError')
    assert 'Traceback' in told.err
