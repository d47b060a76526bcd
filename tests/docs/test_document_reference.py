"""Hand-written pages of the reference are complete: files of a run, metrics, exit codes."""

import re
import tarfile

import click
import pytest
from markdown_files import ROOT, codes_in, tables

import pipeline_runner
from common import errors
from components.evaluation import results
from components.evaluation.config import EDGES, SLICES

REFERENCE = ROOT / 'docs' / 'reference'
STORED_RUN = ROOT / 'tests' / 'e2e' / 'stored_run.tar.xz'
# Parts of TFX that users do not need.
_INTERNAL = re.compile(r'(^|/)\.system/')


def first_cells(page: str) -> list[tuple[str, list[str]]]:
    """The header of each table, and the code in the first cells of its rows."""
    return [
        (header[0].content, [code for row in rows for code in codes_in(row[0])])
        for header, *rows in tables(REFERENCE / page)
    ]


def test_files_of_a_run_are_documented():
    patterns = []
    for header, paths in first_cells('files.md'):
        folder = header.partition('`')[2].rstrip('`')  # of `path in ...`
        patterns += [_pattern(folder + path) for path in paths]
    for _, *rows in tables(REFERENCE / 'files.md'):  # further paths in the descriptions
        patterns += [
            _pattern(f'artifacts/{c}') for row in rows for c in codes_in(row[1]) if '/<n>/' in c
        ]
    with tarfile.open(STORED_RUN) as archive:
        names = [each.name for each in archive.getmembers() if each.isfile()]
    files = [name.removeprefix('squares/') for name in names if name.startswith('squares/')]
    files = [name for name in files if not _INTERNAL.search(name)]

    undocumented = [name for name in files if not any(each.match(name) for each in patterns)]

    assert len(files) > 40
    assert undocumented == []


def _pattern(path: str) -> re.Pattern[str]:
    """A documented path: <name> and * are anything in a name, and a folder has all its files."""
    text = re.sub(r'<\w+>|\*', '§', path)
    text = re.escape(text).replace('§', '[^/]+')
    return re.compile(text if path.endswith('/') else f'{text}$')


def test_metrics_and_slices_are_documented():
    (metrics, slices) = (codes for _, codes in first_cells('metrics.md')[:2])
    text = (REFERENCE / 'metrics.md').read_text(encoding='utf-8')

    assert set(metrics) == set(results.METRICS)
    assert set(slices) == {'class', 'source', *SLICES}
    for feature, (low, high) in EDGES.items():
        (row,) = re.findall(rf'^\| `{feature}` \| (.*) \|$', text, re.MULTILINE)
        assert re.findall(r'`(\w+)`', row) == list(SLICES[feature])
        assert [float(each) for each in re.findall(r'[\d.]+', row)] == [low, high]


def test_exit_codes_are_documented():
    text = (REFERENCE / 'exit-codes.md').read_text(encoding='utf-8')
    documented = {int(code) for code in re.findall(r'^\| (\d+) \|', text, re.MULTILINE)}

    codes = (errors.FAILED, errors.USAGE, errors.NOT_BLESSED, errors.NOT_MOUNTED)
    assert documented == {0, *codes, errors.INTERRUPTED}


def test_environment_variables_are_documented():
    files = [ROOT / 'scripts' / 'bootstrap.sh']
    for package in ('common', 'components', 'pipeline', 'trainer'):
        files += (ROOT / package).rglob('*.py')
    read = {name for file in files for name in re.findall(r'\bCATDOG_[A-Z_]+', file.read_text())}
    ((_, documented),) = first_cells('environment.md')

    assert read - set(documented) == set()


@pytest.mark.parametrize('name', pipeline_runner.COMMANDS)
def test_command_has_a_description_and_its_options_too(name):
    command = pipeline_runner.main.get_command(None, name)

    assert command.help
    options = [each for each in command.params if isinstance(each, click.Option)]
    assert [each.name for each in options if not each.help] == []
