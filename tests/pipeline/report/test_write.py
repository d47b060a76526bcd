"""Errors while writing a report."""

import sys

from common import console
from pipeline.config.recipe import load_recipe
from pipeline.report.write import write_report


def test_report_error_is_a_warning(tmp_path, capsys):
    recipe = load_recipe('demo', [('workdir', str(tmp_path))])
    with console.output_to(sys.stdout):
        write_report(tmp_path / 'page.html', recipe, {}, None, 1.0)
    captured = capsys.readouterr()
    assert captured.out.startswith('warning: the report cannot be written: ')
    assert 'Traceback' in captured.err
