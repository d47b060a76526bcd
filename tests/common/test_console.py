"""Log records, progress bars and tables on the console."""

import io
import json
import logging
import os
import re
import subprocess
import threading
import time

import pytest
from rich.table import Table

from common import console

OURS = logging.getLogger('components.some.module')
HOSTILE = 'cats\x1b[31m\x9b\x7f\u202e\U000e0001\udcff\tend \u3000é'
ESCAPED = 'cats\\u001b[31m\\u009b\\u007f\\u202e\\udb40\\udc01\\udcff\\tend \u3000é'


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(call, stream=None, log=None):
    """The lines that the stream receives while a function runs."""
    stream = stream or io.StringIO()
    with console.output_to(stream, log):
        call()
    return stream.getvalue().splitlines()


@pytest.fixture
def terminal(monkeypatch):
    for variable in ('NO_COLOR', 'COLORTERM', 'COLUMNS'):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv('TERM', 'xterm')
    return Terminal()


def work():
    """What a component may print."""
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        OURS.log(level, 'at level %s', level)
    with console.bar('images', 2) as bar:
        thread = threading.Thread(target=OURS.info, args=('from a thread',))
        thread.start()
        thread.join()
        bar.advance(399, text='loss [b]0.1')
        time.sleep(0.2)  # a terminal is refreshed ten times a second
    console.show(Table('column', box=None))
    OURS.info('%s it', 'BLESSED', extra={'always': True})


def test_prints_records_from_level_info_and_the_end_of_bars():
    assert printed(work) == [
        'at level 20',
        'warning: at level 30',
        'error: at level 40',
        'from a thread',
        'images 399/2 loss [b]0.1',
        ' column',
        'BLESSED it',
    ]


def test_terminal_has_colours(terminal):
    def log():
        OURS.info('BLESSED', extra={'style': 'bold green'})
        OURS.warning('no GPU')

    assert printed(log, terminal) == ['\x1b[1;32mBLESSED\x1b[0m', '\x1b[33mwarning: no GPU\x1b[0m']


def test_quiet_prints_only_warnings_errors_and_marked_records(terminal):
    def run():
        with console.quiet(), console.phase('training', 'Trainer', brief=False):
            work()

    assert printed(run) == ['warning: at level 30', 'error: at level 40', 'BLESSED it']
    assert not any('images' in line for line in printed(run, terminal))


def run_phase(brief=True):
    with console.phase('training', 'Trainer', brief=brief):
        work()


def test_brief_phase_prints_its_information_to_the_log_file_only(tmp_path):
    log = tmp_path / 'log'
    log.write_text('before\n')
    lines = printed(run_phase, log=log)
    assert lines == ['warning: at level 30', 'error: at level 40', ' column', 'BLESSED it']
    first, title, info, *others = log.read_text().splitlines()
    assert (first, title.rpartition(' INFO ')[2]) == ('before', 'common.console: Trainer ...')
    assert re.fullmatch(r'[\d-]+ [\d:,]+ INFO components\.some\.module: at level 20', info)
    assert any(line.endswith('images 399/2 loss [b]0.1') for line in others)


def test_verbose_phase_prints_everything():
    assert printed(lambda: run_phase(brief=False))[:2] == ['Trainer ...', 'at level 20']


def test_phase_shows_its_bar_and_those_below_on_a_terminal(terminal):
    shown = '\n'.join(printed(run_phase, terminal))
    assert re.search(r'training .* Trainer', shown)
    assert re.search(r'images .* 399/2 ', shown)
    assert 'from a thread' not in shown


def test_bar_of_unknown_length_shows_its_steps():
    def count():
        with console.bar('images', None) as bar:
            bar.advance(399)

    assert printed(count) == ['images 399 ']


@pytest.mark.parametrize('message', ['[b]name[/b]', '[/b]', ':cat:', '100 %', 'word ' * 50])
def test_prints_messages_unchanged(message):
    assert printed(lambda: OURS.info(message)) == [message]


def test_records_of_libraries_and_outside_of_the_block_propagate(caplog):
    caplog.set_level(logging.INFO)
    assert printed(lambda: logging.getLogger('some_library').error('a library')) == []
    inner = io.StringIO()
    assert printed(lambda: printed(lambda: OURS.info('ours'), inner)) == []
    assert inner.getvalue() == 'ours\n'
    OURS.info('afterwards')
    assert caplog.messages == ['a library', 'afterwards']


def test_rows_are_fitted_to_a_terminal_and_are_one_line_elsewhere(monkeypatch):
    monkeypatch.setenv('COLUMNS', '80')
    table = Table('name', box=None)
    table.add_column('path', overflow='fold')
    table.add_row('a', '/word' * 60)
    table.add_row('b', '/word')

    _, *rows = printed(lambda: console.show(table), Terminal())
    _, *plain = printed(lambda: console.show(table))

    assert len(rows) > 2
    assert max(map(len, rows)) <= 80
    assert [row.split() for row in plain] == [['a', '/word' * 60], ['b', '/word']]


def test_output_without_terminal_has_no_control_characters(monkeypatch):
    monkeypatch.setenv('FORCE_COLOR', '1')
    monkeypatch.setenv('TERM', 'xterm-256color')
    assert all(line.isprintable() for line in printed(run_phase))


def test_control_characters_are_escaped_in_lines_tables_and_log_file(tmp_path):
    def show():
        OURS.info('%s\nof two lines', HOSTILE)
        table = Table('name')
        table.add_row(HOSTILE)
        console.show(table)

    log = tmp_path / 'a.log'
    line, *rows = printed(show, Terminal(), log)
    assert line == f'{ESCAPED}\\nof two lines'
    assert any('cats\\u001b[31m' in row for row in rows)
    assert not any('\x9b' in row for row in rows)
    assert ESCAPED in log.read_text()


def test_escapes_of_texts_are_those_of_json():
    assert console.printable(f'{HOSTILE}\n') == f'{ESCAPED}\n'
    assert console.printable(ESCAPED) == ESCAPED
    assert json.loads(console.printable(json.dumps(HOSTILE, ensure_ascii=False))) == HOSTILE


def test_redirects_what_processes_write(tmp_path, capfd):
    file = tmp_path / 'file'
    file.write_text('before\n')

    def fail():
        with console.redirected(file, 1, 2):
            os.write(2, b'from C\n')
            subprocess.run(['echo', 'from a child'], check=True)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with console.silent_stderr():
        os.write(1, b'after')
        os.write(2, b'hidden')
    os.write(2, b'again')
    assert file.read_text().splitlines() == ['before', 'from C', 'from a child']
    assert capfd.readouterr() == ('after', 'again')
