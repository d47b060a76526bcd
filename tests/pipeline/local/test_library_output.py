import re
import subprocess
import sys
from pathlib import Path

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


def call(log: Path, *arguments: str) -> tuple[list[str], list[str], list[str]]:
    """Runs PROGRAM; returns the lines of stdout, stderr and the log."""
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, str(log), *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines(), done.stderr.splitlines(), log.read_text().splitlines()


def test_only_console_reaches_the_terminal_and_all_output_the_log(tmp_path):
    out, err, log = call(tmp_path / 'logs' / 'run.log')

    assert out == ['before', 'for the console', 'after', 'the console as before']
    assert err == ['err after']
    assert sorted(line for line in log if line.startswith('from')) == [
        'from C, err',
        'from C, out',
        'from a child',
        'from a library',
        'from print',
        'from stderr',
    ]
    (line,) = (line for line in log if 'for the console' in line)
    assert re.fullmatch(r'\d{4}-\d\d-\d\d [\d:,]+ INFO trainer: for the console', line)


def test_error_restores_output_and_log_file_is_appended_to(tmp_path):
    (tmp_path / 'run.log').write_text('from an earlier run\n')

    out, err, log = call(tmp_path / 'run.log', 'fail')

    assert out == ['before', 'for the console', 'broken', 'after', 'the console as before']
    assert err == ['err after']
    assert log[0] == 'from an earlier run'
    assert 'from print' in log
