import sys

import pytest
from pipeline_benchmark import check, comparison_table, component_table, main, ratios
from timed_commands import Run


def run_of(seconds, accuracy=0.9):
    result = {
        'accuracy': accuracy,
        'images': 1000,
        'nodes': {'ImageExampleGen': 4.0, 'Trainer': 40.0},
        'trainer': {'embedding': {'seconds': 5.0, 'images': 3000}},
    }
    return Run(seconds, cpu_seconds=2 * seconds, peak_mb=1800.0, result=result)


RUNS = [run_of(50), run_of(90, 0.8), run_of(60)]
PLAIN = [run_of(200), run_of(200), run_of(200)]


def cells(table):
    """The cells of each row, by its first one."""
    columns = [[*column.cells] for column in table.columns]
    return {name: rest for name, *rest in zip(*columns, strict=True)}


def test_ratio_is_the_median_of_pairs():
    assert ratios(RUNS, PLAIN) == [0.25, 0.45, 0.3]
    rows = cells(comparison_table(RUNS, PLAIN))
    assert rows['ratio of wall times, median'] == ['0.30 (0.25 to 0.45)', '1']
    assert rows['  lowest'] == ['0.8000', '0.9000']


def test_component_table_has_rates_and_the_rest():
    rows = cells(component_table(RUNS))
    assert rows['ImageExampleGen'] == ['4.0', '250']
    assert rows['  embedding'] == ['5.0', '600']
    assert rows['imports, data preparation, the rest'] == ['16.0', '']


def test_limit_is_exceeded_only_above_it():
    check([0.25, 0.45, 0.3], 0.3)
    with pytest.raises(SystemExit, match=r'0\.30 times'):
        check([0.25, 0.45, 0.3], 0.29)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--check'], '--check needs the pair of --quick'),
        (['--seeds', '0'], '--seeds must be at least 1'),
    ],
)
def test_rejects_options(monkeypatch, capsys, options, message):
    monkeypatch.setattr(sys, 'argv', ['pipeline_benchmark.py', *options])
    with pytest.raises(SystemExit):
        main()
    assert message in capsys.readouterr().err


def test_photographs_need_a_folder(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['pipeline_benchmark.py', '--recipe', 'cats_vs_dogs'])
    monkeypatch.delenv('CATDOG_DATA', raising=False)
    with pytest.raises(SystemExit, match='set CATDOG_DATA'):
        main()
