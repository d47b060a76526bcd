import io
import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rich.table import Table

from common import console

REPOSITORY = Path(__file__).parents[2]
OURS = logging.getLogger('components.some.module')
LIBRARY = logging.getLogger('some_library')


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(*calls, stream=None):
    """Lines printed while functions are called."""
    stream = stream or io.StringIO()
    with console.output_to(stream):
        for call in calls:
            call()
    return stream.getvalue().splitlines()


@pytest.fixture
def terminal(monkeypatch):
    for variable in ('NO_COLOR', 'COLORTERM', 'COLUMNS'):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv('TERM', 'xterm')
    return Terminal()


def log_all_levels():
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        OURS.log(level, 'at level %s', level)


@pytest.mark.parametrize('name', console.PACKAGES)
def test_warnings_and_errors_have_their_level_as_prefix(name):
    assert shown(log_all_levels) == ['at level 20', 'warning: at level 30', 'error: at level 40']


def test_terminal_shows_levels_in_colours(terminal):
    assert shown(log_all_levels, stream=terminal) == [
        'at level 20',
        '\x1b[33mwarning: at level 30\x1b[0m',
        '\x1b[31merror: at level 40\x1b[0m',
    ]


def test_styles_part_of_message(terminal):
    def log():
        OURS.info('%s ...', 'Trainer', extra=console.styled('Trainer', 'bold'))

    assert shown(log) == ['Trainer ...']
    assert shown(log, stream=terminal) == ['\x1b[1mTrainer\x1b[0m ...']


@pytest.mark.parametrize('message', ['[b]name[/b]', '[/b]', ':cat:', '100 %', 'word ' * 50])
def test_message_is_not_interpreted_as_markup(message):
    assert shown(lambda: OURS.info(message)) == [message]


def test_hides_records_of_libraries(caplog):
    assert shown(lambda: LIBRARY.error('a library')) == []
    assert caplog.messages == ['a library']


def test_nested_output_prints_record_once(caplog):
    caplog.set_level(logging.INFO)
    stream = io.StringIO()

    def nested():
        with console.output_to(stream):
            OURS.info('one line')

    assert shown(nested) == []
    assert stream.getvalue() == 'one line\n'
    assert not caplog.messages


def test_records_propagate_without_output(caplog):
    shown(lambda: None)
    with caplog.at_level(logging.INFO):
        OURS.info('for the root')

    assert caplog.messages == ['for the root']


def test_indents_every_line():
    def log():
        OURS.info('before')
        with console.indented():
            OURS.warning('one\ntwo')
        OURS.info('after')

    assert shown(log) == ['before', '  warning: one', '  two', 'after']


def test_thread_logs_while_progress_bar_is_open():
    def log():
        with console.bar('images', 1) as bar, console.indented():
            thread = threading.Thread(target=OURS.info, args=('from a thread',))
            thread.start()
            thread.join()
            bar.advance()

    first, second = shown(log)
    assert first == '  from a thread'
    assert '1/1' in second


def test_progress_bar_is_one_plain_line_without_terminal():
    def count():
        with console.bar('images [of] cats', 2) as bar:
            bar.advance()
            bar.advance(text='loss [b]0.1')

    (line,) = shown(count)
    assert line.startswith('  images [of] cats ')
    assert '2/2' in line
    assert line.rstrip().endswith('loss [b]0.1')
    assert line.isprintable()


def test_progress_bar_is_animated_on_terminal(terminal):
    with console.output_to(terminal), console.bar('images', 1):
        pass
    assert '\x1b[' in terminal.getvalue()


def test_force_color_does_not_style_files(monkeypatch):
    monkeypatch.setenv('FORCE_COLOR', '1')
    assert shown(lambda: OURS.warning('plain')) == ['warning: plain']


def test_table_fits_the_width():
    table = Table('word ' * 60)
    assert {len(line) for line in shown(lambda: console.show(table))} == {120}


def test_escapes_unencodable_characters():
    stream = io.TextIOWrapper(io.BytesIO(), encoding='ascii')
    with console.output_to(stream):
        OURS.info('Zoë, \udce9')
        OURS.info('Zoe')
    assert stream.buffer.getvalue() == b'Zo\\xeb, \\udce9\nZoe\n'


def test_log_file_has_time_level_and_logger(tmp_path):
    log = tmp_path / 'run.log'
    log.write_text('before\n')
    with console.output_to(io.StringIO(), log), console.indented():
        OURS.warning('strange name: %s', '\udce9')
    before, line = log.read_text().splitlines()
    assert before == 'before'
    assert line.endswith(r' WARNING components.some.module: strange name: \udce9')


PROGRAM = """
import logging, sys
import apache_beam, tensorflow, tfx.v1
from absl import app
from common import console

def log():
    logging.getLogger('trainer.run').info('from the Trainer')

def with_output(_):
    with console.output_to(sys.stdout):
        log()

def as_on_vertex(_):
    from absl import logging
    logging.set_verbosity(logging.INFO)
    log()

app.run({function})
"""


@pytest.mark.parametrize(
    ('function', 'in_output', 'in_error'), [('with_output', 1, 0), ('as_on_vertex', 0, 1)]
)
def test_record_is_printed_once_with_handlers_of_libraries(function, in_output, in_error):
    command = [sys.executable, '-c', PROGRAM.replace('{function}', function)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.count('from the Trainer') == in_output
    assert done.stderr.count('from the Trainer') == in_error
