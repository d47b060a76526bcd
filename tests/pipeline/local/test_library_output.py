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
        logging.getLogger('trainer').info('for the console')
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
    """`call(*arguments)` runs PROGRAM; returns the lines of stdout, stderr and the log."""

    def run_program(*arguments: str) -> tuple[list[str], list[str], list[str]]:
        log = tmp_path / 'logs' / 'run.log'
        done = subprocess.run(
            [sys.executable, '-c', PROGRAM, str(log), *arguments],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines(), done.stderr.splitlines(), log.read_text().splitlines()

    return run_program


def test_redirects_output_of_python_c_and_child_processes(call):
    _, _, log = call()

    assert sorted(line for line in log if line.startswith('from')) == [
        'from C, err',
        'from C, out',
        'from a child',
        'from a library',
        'from print',
        'from stderr',
    ]


def test_log_file_has_console_records_with_time_and_level(call):
    _, _, log = call()

    (line,) = (line for line in log if 'for the console' in line)
    assert re.fullmatch(r'\d{4}-\d\d-\d\d [\d:,]+ INFO trainer: for the console', line)


def test_only_console_reaches_the_terminal(call):
    out, err, _ = call()

    assert out == ['before', 'for the console', 'after', 'the console as before']
    assert err == ['err after']


def test_error_restores_output(call):
    out, err, log = call('fail')

    assert out == ['before', 'for the console', 'broken', 'after', 'the console as before']
    assert err == ['err after']
    assert 'from print' in log


def test_appends_to_existing_log_file(call):
    call()
    _, _, log = call()

    assert log.count('from print') == 2
