"""The journal of ticks, also with truncated and foreign lines."""

import datetime

import pytest

from pipeline.retraining.journal import Journal

NOW = datetime.datetime(2026, 11, 21, 2, tzinfo=datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'ticks.jsonl'


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path)


def test_last_line_of_a_tick_is_its_state(journal):
    second = journal.start(NOW + DAY)
    first = journal.start(NOW)
    second = second.with_result('blessed', 'pushed', 0, accuracy=0.9)
    journal.write(second)
    assert journal.ticks() == [first, second]
    assert (first.verdict, second.verdict, second.accuracy) == (None, 'blessed', 0.9)


def test_truncated_line_affects_no_other_line(journal, path):
    tick = journal.start(NOW)
    with path.open('a') as file:
        file.write('{"tick": "' + tick.tick + '", "verdict": "bles')
    other = journal.start(NOW + DAY, verdict='skipped')
    assert journal.ticks() == [tick, other]


def test_skips_foreign_lines_and_unknown_keys(journal, path):
    known = '{"tick": "1", "started": "2026-11-21T02:00:00Z", "pid": 7, "drift": 0.3}'
    path.write_bytes(b'[]\n"text"\n{"tick": [1]}\n{"tick": "2"}\n\xff\n' + known.encode() + b'\n')
    (tick,) = journal.ticks()
    assert (tick.started, tick.pid) == (NOW, 7)


@pytest.mark.parametrize('started', ['2026-11-20T02:00:00', '0001-01-01T00:00:00+14:00'])
def test_skips_times_without_a_zone_and_impossible_ones(started, journal, path):
    known = journal.start(NOW)
    with path.open('a') as file:
        file.write(f'{{"tick": "2", "started": "{started}"}}\n')
    assert journal.ticks() == [known]


def test_reads_only_the_end_of_a_long_file(journal, monkeypatch):
    monkeypatch.setattr('pipeline.retraining.journal._READ', 1000)
    for day in range(100):
        journal.start(NOW + day * DAY, verdict='skipped')
    ticks = journal.ticks()
    assert 2 < len(ticks) < 20
    assert ticks[-1].started == NOW + 99 * DAY
