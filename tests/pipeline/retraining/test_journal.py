"""The file of ticks, cut off anywhere."""

import datetime

import pytest

from pipeline.retraining.journal import Journal

NOW = datetime.datetime(2026, 11, 21, 2, tzinfo=datetime.timezone.utc)


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / 'ticks.jsonl')


def test_there_are_no_ticks_at_first(journal):
    assert journal.ticks() == []


def test_what_became_known_later_is_added(journal):
    tick = journal.start(NOW)
    journal.note(tick, decision='span 1 is new', train=True)
    journal.note(tick, verdict='blessed', accuracy=0.9, exit_code=0)
    (found,) = journal.ticks()
    assert (found.decision, found.verdict, found.accuracy) == ('span 1 is new', 'blessed', 0.9)
    assert not found.open


def test_ticks_come_in_the_order_of_their_beginnings(journal):
    first, second = journal.start(NOW), journal.start(NOW + datetime.timedelta(days=1))
    journal.note(first, verdict='failed')
    assert [each.tick for each in journal.ticks()] == [first, second]
    assert [each.open for each in journal.ticks()] == [False, True]


def test_a_torn_line_costs_itself_alone(journal, tmp_path):
    tick = journal.start(NOW)
    with (tmp_path / 'ticks.jsonl').open('a') as file:
        file.write('{"tick": "' + tick + '", "verdict": "bles')
    other = journal.start(NOW + datetime.timedelta(days=1))
    journal.note(other, verdict='skipped')
    assert [(each.tick, each.verdict) for each in journal.ticks()] == [
        (tick, None),
        (other, 'skipped'),
    ]


def test_lines_of_something_else_are_left_out(journal, tmp_path):
    (tmp_path / 'ticks.jsonl').write_text('[]\n"text"\n{"tick": [1]}\n{"tick": "1"}\n\xff\n')
    journal.start(NOW)
    assert len(journal.ticks()) == 1


def test_only_the_end_of_a_long_file_is_read(journal, monkeypatch):
    monkeypatch.setattr('pipeline.retraining.journal._READ', 1000)
    for day in range(100):
        journal.note(journal.start(NOW + datetime.timedelta(days=day)), verdict='skipped')
    ticks = journal.ticks()
    assert 2 < len(ticks) < 20
    assert ticks[-1].started == NOW + datetime.timedelta(days=99)
