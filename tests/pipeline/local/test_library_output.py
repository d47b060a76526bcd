import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
PROGRAM = """
import logging, os, subprocess, sys
from pathlib import Path
from pipeline.local.library_output import library_output_to
from common import console

print('before')
try:
    with library_output_to(Path(sys.argv[1])):
        print('from print')
        print('from stderr', file=sys.stderr)
        os.write(1, b'from C, out\\n')
        os.write(2, b'from C, err\\n')
        subprocess.run(['echo', 'from a child'], check=True)
        logging.getLogger('trainer').info('for the person')
        logging.getLogger('library').error('from a library')
        if len(sys.argv) > 2:
            raise RuntimeError('broken')
except RuntimeError as error:
    print(error)
print('after')
console.show('the console as before')
print('err after', file=sys.stderr)
"""


@pytest.fixture
def call(tmp_path):
    """Runs the program; gives its standard output, its standard error, and the log."""

    def run_program(*more: str) -> tuple[list[str], list[str], list[str]]:
        log = tmp_path / 'logs' / 'run.log'
        done = subprocess.run(
            [sys.executable, '-c', PROGRAM, str(log), *more],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines(), done.stderr.splitlines(), log.read_text().splitlines()

    return run_program


def test_what_libraries_print_goes_to_the_file_whoever_prints_it(call):
    _, _, log = call()

    assert sorted(line for line in log if line.startswith('from')) == [
        'from C, err',
        'from C, out',
        'from a child',
        'from a library',
        'from print',
        'from stderr',
    ]


def test_records_of_ours_are_in_the_file_too(call):
    _, _, log = call()

    (line,) = (line for line in log if 'for the person' in line)
    assert re.fullmatch(r'\d{4}-\d\d-\d\d [\d:,]+ INFO trainer: for the person', line)


def test_only_the_console_reaches_the_person(call):
    out, err, _ = call()

    assert out == ['before', 'for the person', 'after', 'the console as before']
    assert err == ['err after']


def test_an_error_gives_the_output_back(call):
    out, err, log = call('fail')

    assert out == ['before', 'for the person', 'broken', 'after', 'the console as before']
    assert err == ['err after']
    assert 'from print' in log


def test_a_second_block_adds_to_the_file(call):
    call()
    _, _, log = call()

    assert log.count('from print') == 2
