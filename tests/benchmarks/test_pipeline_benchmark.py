import sys
import zipfile

import pytest
from image_folders import join_images
from pipeline_benchmark import main, pipeline_entry, plain_entry
from timed_commands import Run

from components.evaluation.results import wilson

RUN = Run(seconds=100.0, cpu_seconds=150.0, peak_mb=1800.0, last_line='')


def test_pipeline_entry_has_parts_and_counts():
    summary = {
        'accuracy': 391 / 402,
        'test_images': 402,
        'nodes': {'Trainer': 40.0, 'ServingCheck': 8.0},
        'trainer': {'export': {'seconds': 3.0, 'images': 0}},
    }
    entry = pipeline_entry(1, RUN, summary)
    assert (entry.seed, entry.seconds, entry.cpu_seconds, entry.peak_mb) == (1, 100, 150, 1800)
    assert entry.parts == {'Trainer': 40.0, 'ServingCheck': 8.0}
    assert entry.trainer == {'export': 3.0}
    assert entry.accuracy == wilson(391, 402)


def test_plain_entry_has_epochs_and_counts():
    result = {
        'accuracy': 390 / 402,
        'images': 402,
        'seconds': {'start': 5.0, 'head': 3.0, 'fine-tuning': 0.0, 'test': 1.0},
        'epochs': {'head': [2.0, 1.0], 'fine-tuning': []},
    }
    entry = plain_entry(0, RUN, result)
    assert entry.correct == 390
    assert entry.epochs == {'head': (2.0, 1.0), 'fine-tuning': ()}


def test_joins_folders_and_archives(make_image_folder, tmp_path):
    first = make_image_folder(tmp_path / 'first', 2)
    second = make_image_folder(tmp_path / 'second', 3, seed=1)
    with zipfile.ZipFile(tmp_path / 'second.zip', 'w') as archive:
        for file in second.glob('*/*'):
            archive.write(file, file.relative_to(second))
    joined = join_images([str(first), str(tmp_path / 'second.zip')], tmp_path / 'joined')
    contents = {name: [*(joined / name).iterdir()] for name in ('cats', 'dogs')}
    assert {name: len(files) for name, files in contents.items()} == {'cats': 5, 'dogs': 5}
    originals = {file.read_bytes() for each in (first, second) for file in each.glob('dogs/*')}
    assert {file.read_bytes() for file in contents['dogs']} == originals


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
