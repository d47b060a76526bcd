"""Log records, progress bars and tables on the console."""

import io
import json
import logging
import re
import subprocess
import sys
import threading
import time

import pytest
from rich.table import Table

from common import console

OURS = logging.getLogger('components.some.module')
LIBRARY = logging.getLogger('some_library')


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(*calls, stream=None):
    """Calls functions and returns the lines that the stream receives."""
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
def test_prints_records_of_each_package_from_info(name):
    def log():
        logging.getLogger(f'{name}.module').debug('hidden')
        logging.getLogger(f'{name}.module').info('shown')

    assert printed(log) == ['shown']


def log_with_styles():
    with console.titled('Trainer'):
        OURS.info('%s done', 'Trainer', extra=console.styled('done', 'bold'))
        log_all_levels()


def test_terminal_has_colours_bold_titles_and_styled_words(terminal):
    assert printed(log_with_styles, stream=terminal) == [
        '\x1b[1mTrainer\x1b[0m ...',
        'Trainer \x1b[1mdone\x1b[0m',
        'at level 20',
        '\x1b[33mwarning: at level 30\x1b[0m',
        '\x1b[31merror: at level 40\x1b[0m',
    ]


@pytest.mark.parametrize('message', ['[b]name[/b]', '[/b]', ':cat:', '100 %', 'word ' * 50])
def test_prints_messages_unchanged(message):
    assert printed(lambda: OURS.info(message)) == [message]


def test_hides_records_of_libraries(caplog):
    assert printed(lambda: LIBRARY.error('a library')) == []
    assert caplog.messages == ['a library']


def test_prints_each_record_once_despite_root_handlers(caplog):
    caplog.set_level(logging.INFO)
    stream = io.StringIO()

    def nested():
        with console.output_to(stream):
            OURS.info('one line')

    assert printed(nested) == []
    assert stream.getvalue() == 'one line\n'
    assert not caplog.messages


def test_records_propagate_to_root_logger_outside_output(caplog):
    printed(lambda: None)
    with caplog.at_level(logging.INFO):
        OURS.info('for the root')

    assert caplog.messages == ['for the root']


def test_message_is_one_line():
    def log():
        OURS.info('before')
        with console.indented():
            OURS.warning('one\ntwo')
        OURS.info('after')

    assert printed(log) == ['before', '  warning: one\\ntwo', 'after']


def show_bar():
    with console.bar('images', 1):
        pass


def with_title(body):
    def run():
        with console.titled('Trainer'):
            body()

    return run


@pytest.mark.parametrize('body', [log_all_levels, show_bar, lambda: console.show('a table')])
def test_title_is_printed_once_above_records_bars_and_tables(body):
    first, *others = printed(with_title(body))
    assert first == 'Trainer ...'
    assert others
    assert first not in others


def test_silent_block_prints_no_title(monkeypatch):
    monkeypatch.setattr(console, '_TITLE_DELAY', 600.0)
    assert printed(with_title(list)) == []


def test_title_of_silent_block_is_printed_after_delay(monkeypatch):
    monkeypatch.setattr(console, '_TITLE_DELAY', 0.01)
    stream = io.StringIO()
    with console.output_to(stream), console.titled('Trainer'):
        while not stream.getvalue():
            time.sleep(0.01)
        assert stream.getvalue() == 'Trainer ...\n'


def test_title_of_failed_block_is_printed():
    stream = io.StringIO()
    with console.output_to(stream), pytest.raises(KeyboardInterrupt), console.titled('Trainer'):
        raise KeyboardInterrupt
    assert stream.getvalue() == 'Trainer ...\n'


def test_quiet_prints_only_warnings_errors_and_marked_records():
    def run():
        with console.quiet(), console.titled('Trainer'), console.indented():
            log_all_levels()
            show_bar()
            console.show(Table('column'))
            OURS.info('BLESSED', extra=console.styled('BLESSED', 'bold', always=True))
        OURS.info('loud again')

    expected = ['warning: at level 30', 'error: at level 40', 'BLESSED', 'loud again']
    assert printed(run) == expected


def test_threads_log_to_the_same_stream_above_an_open_bar():
    def log():
        with console.bar('images', 1) as bar, console.indented():
            thread = threading.Thread(target=OURS.info, args=('from a thread',))
            thread.start()
            thread.join()
            bar.advance()

    first, second = printed(log)
    assert first == '  from a thread'
    assert '1/1' in second


def run_phase():
    with console.phase('training', 'Trainer'):
        OURS.info('an epoch')
        OURS.warning('no GPU')
        with console.bar('images', None) as bar:
            bar.advance(399)
            time.sleep(0.2)  # a terminal is refreshed ten times a second


def test_phase_prints_only_warnings_without_a_terminal():
    assert printed(run_phase) == ['warning: no GPU']


def test_phase_shows_its_bar_and_those_below_on_a_terminal():
    shown = '\n'.join(printed(run_phase, stream=Terminal()))

    assert re.search(r'training .* Trainer', shown)
    assert re.search(r'images .* 399 ', shown)
    assert 'warning: no GPU' in shown
    assert 'an epoch' not in shown


def test_bar_of_unknown_length_shows_its_steps():
    def count():
        with console.bar('images', None) as bar:
            bar.advance(399)

    (line,) = printed(count)
    assert ' 399 ' in line


def test_bar_is_one_line_without_a_terminal():
    def count():
        with console.bar('images [of] cats', 2) as bar:
            bar.advance()
            bar.advance(text='loss [b]0.1')

    (line,) = printed(count)
    assert line.startswith('  images [of] cats ')
    assert '2/2' in line
    assert line.rstrip().endswith('loss [b]0.1')


def test_rows_are_fitted_to_a_terminal_and_are_one_line_elsewhere(monkeypatch):
    monkeypatch.setenv('COLUMNS', '80')
    table = Table('name', box=None)
    table.add_column('path', overflow='fold')
    table.add_row('a', '/word' * 60)
    table.add_row('b', '/word')

    _, *rows = printed(lambda: console.show(table), stream=Terminal())
    _, *plain = printed(lambda: console.show(table))

    assert len(rows) > 2
    assert max(map(len, rows)) <= 80
    assert [row.split() for row in plain] == [['a', '/word' * 60], ['b', '/word']]


def test_log_file_has_time_level_and_logger_of_all_records(tmp_path):
    log = tmp_path / 'run.log'
    log.write_text('before\n')
    with console.output_to(io.StringIO(), log), console.quiet(), console.titled('Trainer'):
        OURS.info('strange name: %s', '\udce9')
    before, title, line = log.read_text().splitlines()
    assert before == 'before'
    assert title.endswith(' Trainer ...')
    assert line.endswith(r' INFO components.some.module: strange name: \udce9')


def test_output_without_terminal_has_no_control_characters(monkeypatch):
    monkeypatch.setenv('FORCE_COLOR', '1')
    monkeypatch.setenv('TERM', 'xterm-256color')
    stream = io.StringIO()
    lines = printed(log_with_styles, show_bar, lambda: console.show(Table('word')), stream=stream)
    assert lines[:2] == ['Trainer ...', 'Trainer done']
    assert stream.getvalue().replace('\n', '').isprintable()


@pytest.mark.parametrize(('redirection', 'printed'), [('2>&1', 'before,after'), ('2>&-', '')])
def test_hides_standard_error_in_a_block(redirection, printed):
    program = """
import os
from common import console

def write(text):
    try:
        os.write(2, text)
    except OSError:  # closed
        pass

write(b'before,')
with console.silent_stderr():
    write(b'hidden,')
write(b'after')
"""
    command = ['sh', '-c', f'"$0" -c "$1" {redirection}', sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, printed), done.stderr


HOSTILE = 'cats\x1b[31m\x9b\x7f\u202e\U000e0001\udcff\tend \u3000é'
ESCAPED = 'cats\\u001b[31m\\u009b\\u007f\\u202e\\udb40\\udc01\\udcff\\tend \u3000é'


def test_escapes_of_texts_are_those_of_json():
    assert console.printable(f'{HOSTILE}\n') == f'{ESCAPED}\n'
    assert console.printable(ESCAPED) == ESCAPED
    assert console.one_line('a\nb\r') == 'a\\nb\\r'
    assert json.loads(console.printable(json.dumps(HOSTILE, ensure_ascii=False))) == HOSTILE


def test_control_characters_are_escaped_in_lines_tables_and_log_file(tmp_path):
    table = Table('name')
    table.add_row(HOSTILE)
    stream, log = Terminal(), tmp_path / 'a.log'
    with console.output_to(stream, log):
        OURS.info('%s', HOSTILE)
        console.show(table)

    line, *rows = stream.getvalue().splitlines()
    assert line == ESCAPED
    assert any('cats\\u001b[31m' in row for row in rows)
    assert '\x9b' not in stream.getvalue()
    assert ESCAPED in log.read_text()
