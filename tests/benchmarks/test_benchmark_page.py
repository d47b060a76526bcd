import html.parser
import json

import pytest
from history import Entry, GrowthPoint, PipelineRun, PlainRun, exceeded, read_entries, write_entry
from page import OTHERS, LogScale, growth_rows, render, shortened


def pipeline_run(seconds, seed=0):
    return PipelineRun(
        seed=seed,
        seconds=seconds,
        cpu_seconds=90,
        peak_mb=1800,
        correct=391,
        images=402,
        parts={'Trainer': 30.0, 'Evaluator': 5.0},
        trainer={'embedding of train': 11.0, 'stage 2, fine-tuning': 19.0},
    )


def plain_run(seconds, seed=0):
    return PlainRun(
        seed=seed,
        seconds=seconds,
        cpu_seconds=500,
        peak_mb=1300,
        correct=390,
        images=402,
        parts={'head': 80.0, 'fine-tuning': 100.0},
        epochs={'head': (41.0, 39.0), 'fine-tuning': (100.0,)},
    )


def make_entry(date='2026-01-01', **changes):
    values = {
        'date': date,
        'version': 'abc',
        'machine': '2 cores',
        'stack': 'TFX <1>',
        'recipe': 'demo',
        'images': 2002,
        'pipeline': (pipeline_run(50), pipeline_run(90, 1), pipeline_run(60, 2)),
        'plain': (plain_run(200), plain_run(200, 1), plain_run(200, 2)),
    }
    return Entry(**values | changes)


GROWTH = tuple(
    GrowthPoint(node='HeldOutFilter', images=images, cpu_seconds=1 + images / 1e5, peak_mb=500)
    for images in (1_000, 10_000, 100_000)
)


class _Text(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.text, self.external, self.drawn = [], [], 0

    def handle_starttag(self, tag, attributes):
        self.drawn += tag == 'polyline'
        loaded = [value for name, value in attributes if name in ('src', 'href')]
        self.external += [value for value in loaded if not value.startswith(('#', 'data:'))]

    def handle_data(self, data):
        self.text += data.split()


def read(page):
    parsed = _Text()
    parsed.feed(page)
    return parsed, ' '.join(parsed.text)


def test_ratio_is_the_median_of_pairs():
    entry = make_entry()
    assert entry.ratios == (0.25, 0.45, 0.3)
    assert entry.ratio == 0.3
    assert make_entry(plain=()).ratio is None


def test_limit_is_exceeded_only_above_it():
    assert not exceeded(make_entry(), 0.3)
    assert '0.30 times' in exceeded(make_entry(), 0.29)
    assert 'did not run' in exceeded(make_entry(plain=()), 0.3)


def test_entries_are_read_in_order_of_date(tmp_path):
    for name, date in (('a', '2026-03-01'), ('b', '2026-01-01')):
        write_entry(make_entry(date, growth=GROWTH), tmp_path / f'{name}.json')
    entries = read_entries(tmp_path.glob('*.json'))
    assert [each.date for each in entries] == ['2026-01-01', '2026-03-01']
    assert entries[0] == make_entry('2026-01-01', growth=GROWTH)


def test_damaged_entry_is_named(tmp_path):
    file = tmp_path / 'entry.json'
    file.write_text(json.dumps({'date': '2026-01-01'}))
    with pytest.raises(SystemExit, match=r'entry\.json: not a benchmark entry'):
        read_entries([file])


def test_page_shows_ratio_parts_epochs_and_accuracy():
    parsed, text = read(render([make_entry()]))
    assert 'ratio, median of 3 0.30 0.25 to 0.45' in text
    assert 'embedding of train 11.0' in text
    assert 'imports and rest 31.7' in text  # 66.7 s without the 35 s of the components
    assert 'an epoch of the script, head 40.0 s 2 epochs' in text
    assert 'pipeline, seed 0 0.9726' in text
    assert 'TFX <1>' in text  # escaped
    assert not parsed.external


def test_page_plots_history_of_equal_runs_only():
    entries = [make_entry(f'2026-01-0{day}') for day in (1, 2)]
    other = make_entry('2026-01-03', changes={'data.count': '50'})
    assert read(render([*entries, other]))[0].drawn == 2  # ratio and seconds
    assert read(render([entries[0], other]))[0].drawn == 0


def test_page_plots_growth_without_pairs():
    parsed, text = read(render([make_entry(pipeline=(), plain=(), growth=GROWTH)]))
    assert parsed.drawn == 2  # time and memory
    assert 'HeldOutFilter 1k to 100k 0.010 0.00 500' in text


def test_growth_is_that_of_the_last_images():
    ((name, images, milliseconds, kilobytes, peak),) = growth_rows(GROWTH)
    assert (name, images, peak) == ('HeldOutFilter', '1k to 100k', 500)
    assert milliseconds == pytest.approx(0.01)
    assert kilobytes == 0


def test_logarithmic_scale_has_a_tick_for_each_power_of_ten():
    scale = LogScale(1_000, 100_000, 0, 100)
    assert scale.ticks() == [(0, '1k'), (50, '10k'), (100, '100k')]


def test_short_parts_are_summed():
    found = shortened({'Trainer': 10.0, 'a': 0.25, 'b': 0.5}, least=1.0)
    assert found == {'Trainer': 10.0, OTHERS: 0.75}
    assert shortened({'Trainer': 10.0}, least=1.0) == {'Trainer': 10.0}
