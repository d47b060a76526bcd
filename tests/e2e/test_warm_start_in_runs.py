"""Warm start: three classes in Parquet, a Tuner, and a second run from the first run's weights."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from workspace import RUNNER

pytestmark = pytest.mark.slow
SMALL = (
    'trainer={image_size: 32, alpha: 0.35, weights: random, batch_size: 16, seed: 1, '
    'warm_start: live, feature_extraction: {epochs: 1}, fine_tune: '
    '{from_layer: 0, batch_norm: train, epochs: 10, learning_rate: 0.01}}',
    'evaluation={minimum: 0.0, margin: 1}',
    'data.splits={train: 3, eval: 1, test: 1}',
)
CLASSES = ('cat', 'dog', 'fox')
TUNER = (
    'tuner={trials: 2, space: {feature_extraction.learning_rate: [0.001, 0.01], '
    'head.dropout: {low: 0.1, high: 0.4}}}'
)


@pytest.fixture(scope='module')
def pets(tmp_path_factory, make_image_folder) -> Path:
    """A Parquet file in the format of the Hugging Face hub, with three classes."""
    folder = tmp_path_factory.mktemp('parquet')
    images = make_image_folder(folder / 'pets', per_class=60, classes=CLASSES)
    files = sorted(images.rglob('*.jpg'))
    table = pa.table(
        {
            'image': [{'bytes': file.read_bytes(), 'path': file.name} for file in files],
            'labels': [CLASSES.index(file.parent.name) for file in files],
        }
    )
    names = {'info': {'features': {'labels': {'names': CLASSES, '_type': 'ClassLabel'}}}}
    table = table.replace_schema_metadata({'huggingface': json.dumps(names)})
    pa.parquet.write_table(table, folder / 'train.parquet')
    return folder / 'train.parquet'


@pytest.fixture(scope='module')
def run(pets, tmp_path_factory):
    """`run('key=value', ...)` runs the Parquet recipe with small settings in one workdir."""
    workdir = tmp_path_factory.mktemp('work')

    def run_recipe(*changes: str) -> str:
        words = f'run --config parquet_224_dense64 --data {pets} --workdir {workdir}'.split()
        words.append('--verbose')
        for change in (*SMALL, *changes):
            words += ['--set', change]
        done = subprocess.run([sys.executable, RUNNER, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run_recipe.home = workdir / 'parquet_224_dense64'
    return run_recipe


@pytest.fixture(scope='module')
def first_run(run) -> tuple[str, str, list]:
    """Output, report page and history of the first run."""
    output = run(TUNER)
    (folder,) = run.home.glob('artifacts/Trainer/model_run/[0-9]*')
    history = json.loads((folder / 'history.json').read_text())
    return output, (run.home / 'last_run.html').read_text(), history


@pytest.fixture(scope='module')
def first(first_run) -> str:
    return first_run[0]


def test_first_run_starts_from_random_weights(first, pets):
    assert 'weights: those of the live model, or random' in first
    assert f'{pets}: 180 images, 3 classes (cat, dog, fox)' in first
    assert 'no warm start: no model is live; starting from trainer.weights' in first
    assert re.search(r'^BLESSED and pushed to', first, re.MULTILINE)


def test_trainer_uses_best_hyperparameters(run, first):
    best = re.search(r'best of 2 trials: (.*), val_loss', first)[1]
    (written,) = run.home.glob('artifacts/Tuner/best_hyperparameters/*/*.txt')
    values = json.loads(written.read_text())['values']
    assert set(values) == {'feature_extraction.learning_rate', 'head.dropout'}
    rate = values['feature_extraction.learning_rate']
    assert f'feature_extraction.learning_rate {rate:.3g}' in best
    assert f'trained with the best of the Tuner: {best}' in first


def test_report_page_shows_training_and_network(first_run):
    _, page, history = first_run
    assert history
    assert 'stage 2, fine-tuning' in page
    assert '<th scope="row">head</th><td class="n">3</td>' in page


def test_next_run_starts_from_the_last_blessed_model(run, first):
    second = run()
    assert 'Tuner' not in second  # disabled in the recipe
    model = re.search(r'warm start from the live model, (\S+)', second)[1]
    assert Path(model).parent == run.home / 'artifacts' / 'Trainer' / 'model'
    assert 'no reference model)' in first
    assert re.search(r'previous model [0-9.]+\)$', second, re.MULTILINE)
