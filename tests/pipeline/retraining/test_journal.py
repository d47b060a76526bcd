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
def journal(path):
    return Journal(path)


def test_missing_file_has_no_ticks(journal):
    assert journal.ticks() == []


def test_last_line_of_a_tick_is_its_state(journal):
    tick = journal.start(NOW)
    assert tick.open
    tick = tick.model_copy(update={'decision': 'span 1 is new', 'train': True})
    journal.write(tick)
    tick = tick.with_result('blessed', 'pushed', 0, accuracy=0.9)
    journal.write(tick)
    assert journal.ticks() == [tick]
    assert (tick.decision, tick.verdict, tick.accuracy, tick.open) == (
        'span 1 is new',
        'blessed',
        0.9,
        False,
    )


def test_ticks_are_sorted_by_start(journal):
    second = journal.start(NOW + DAY)
    first = journal.start(NOW)
    journal.write(second.with_result('failed', '', 1))
    assert [each.tick for each in journal.ticks()] == [first.tick, second.tick]


def test_reads_partial_lines_and_unknown_keys_of_earlier_versions(journal, path):
    path.write_text(
        '{"tick": "1", "started": "2026-11-21T02:00:00+00:00", "pid": 7}\n'
        '{"tick": "1", "decision": "span 4 is new", "train": true, "drift": 0.3}\n'
        '{"tick": "1", "ended": "2026-11-21T02:09:00+00:00", "verdict": "failed"}\n'
    )
    (tick,) = journal.ticks()
    assert (tick.started, tick.pid, tick.train, tick.verdict) == (NOW, 7, True, 'failed')


def test_truncated_line_affects_no_other_line(journal, path):
    tick = journal.start(NOW)
    with path.open('a') as file:
        file.write('{"tick": "' + tick.tick + '", "verdict": "bles')
    other = journal.start(NOW + DAY, verdict='skipped')
    assert journal.ticks() == [tick, other]


def test_skips_foreign_lines(journal, path):
    path.write_text('[]\n"text"\n{"tick": [1]}\n{"tick": "1"}\n\xff\n')
    tick = journal.start(NOW)
    assert journal.ticks() == [tick]


def test_reads_only_the_end_of_a_long_file(journal, monkeypatch):
    monkeypatch.setattr('pipeline.retraining.journal._READ', 1000)
    for day in range(100):
        journal.start(NOW + day * DAY, verdict='skipped')
    ticks = journal.ticks()
    assert 2 < len(ticks) < 20
    assert ticks[-1].started == NOW + 99 * DAY
