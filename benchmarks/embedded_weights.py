"""Compares the embedded weights with random initial weights under the same budget.

Usage: embedded_weights.py [--seeds N]. Prints the fine-tuning curves and one table: the head alone
on the drawings, logistic regression on frozen features of drawings and photographs, and the number
of epochs that fine-tuning on photographs needs. Photographs are read from CATDOG_DATA; without it,
only the drawings are measured. Needs scikit-learn, a dependency of TFX.
"""

import argparse
import itertools
import json
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from image_folders import find_photographs
from rich.console import Console
from rich.table import Table
from timed_commands import DEMO, machine, overrides, timed

STARTS = ('embedded', 'random')
SIDE, FOLDS = 96, 5
HEAD_EPOCHS, EPOCHS = 60, 20
RATES = (1e-3, 4e-3)  # learning rates of fine-tuning; the faster one counts for each start
INVERSE_PENALTIES = np.logspace(-5, 1, 7)  # of logistic regression, chosen within each fold
# Fixed here, so that a change of the demo's recipe does not change the results.
SETTINGS = {
    'trainer.image_size': SIDE,
    'trainer.alpha': 0.35,
    'trainer.batch_size': 16,
    'trainer.augment': '{flip: true}',
    'trainer.head': '{dropout: 0.0}',
    'evaluation.robustness.images': 0,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--seeds', type=int, choices=range(1, 11), default=3, help='runs per result; default: 3'
    )
    seeds = range(parser.parse_args().seeds)
    console = Console(highlight=False, width=120)
    console.print(machine())
    table = Table('measurement', *STARTS, 'requirement', 'reached')
    with tempfile.TemporaryDirectory() as folder:
        images, labels = drawings()
        values = logistic(images, labels, seeds)
        table.add_row(*head_on_drawings(seeds, Path(folder, 'drawings'), values['random']))
        table.add_row('drawings, logistic head on frozen features', *each(values), '', '')
        if os.environ.get('CATDOG_DATA'):
            photographs, _ = find_photographs(os.environ['CATDOG_DATA'])
            table.add_row(*logistic_on_photographs(photographs, seeds))
            for row in epochs_on_photographs(photographs, seeds, Path(folder, 'photographs')):
                table.add_row(*row)
    console.print(table)


def head_on_drawings(
    seeds: Sequence[int], folder: Path, random_logistic: Sequence[float]
) -> tuple[str, ...]:
    """Test accuracy of stage 1 of the pipeline alone: a linear head on the frozen base.

    The pooled features of random weights (1e-11 and less) are too small for a head that does not
    scale them. The requirement therefore also holds for `random_logistic`, whose head does.
    """
    stage = f'{{epochs: {HEAD_EPOCHS}, learning_rate: 3.0e-3, schedule: cosine}}'
    changes = {'trainer.feature_extraction': stage, 'trainer.fine_tune': '{epochs: 0}'}
    found = {
        start: [
            pipeline(folder / f'{start}-{seed}', {**changes, 'trainer.seed': seed}, start)[0]
            for seed in seeds
        ]
        for start in STARTS
    }
    embedded = statistics.mean(found['embedded'])
    random = max(statistics.mean(found['random']), statistics.mean(random_logistic))
    reached = embedded >= 0.90 and random <= embedded - 0.10
    name = 'drawings, stage 1 alone (frozen, linear head): test accuracy'
    return name, *each(found), 'embedded at least 0.90, random 0.10 below', yes(reached)


def logistic_on_photographs(photographs: Path, seeds: Sequence[int]) -> tuple[str, ...]:
    """Cross-validated accuracy of logistic regression on frozen features of all photographs."""
    images, labels = read_images(photographs)
    found = logistic(images, labels, seeds)
    gain = statistics.mean(found['embedded']) - statistics.mean(found['random'])
    name = f'{len(labels)} photographs, {SIDE} px, logistic head on frozen features'
    return name, *each(found), 'embedded 0.10 above', yes(gain >= 0.10)


def logistic(
    images: np.ndarray, labels: np.ndarray, seeds: Sequence[int]
) -> dict[str, list[float]]:
    """Cross-validated accuracy by start; the embedded features do not depend on the seed."""
    return {
        'embedded': [crossvalidated(features(images, 'embedded', 0), labels)],
        'random': [crossvalidated(features(images, 'random', seed), labels) for seed in seeds],
    }


def epochs_on_photographs(
    photographs: Path, seeds: Sequence[int], folder: Path
) -> list[tuple[str, ...]]:
    """Epochs of fine-tuning until validation accuracy reaches the best of random weights.

    All layers are trained for the same number of epochs at a constant learning rate. Curves are
    means over the seeds. A level is reached in the first of two consecutive epochs at or above it.
    """
    curves = {
        (start, rate): np.mean(
            [fine_tuned(photographs, start, rate, seed, folder) for seed in seeds], axis=0
        )
        for start, rate in itertools.product(STARTS, RATES)
    }
    highest = max(
        np.minimum(curves['random', rate][1:], curves['random', rate][:-1]).max() for rate in RATES
    )
    rows: list[tuple[str, ...]] = []
    for level in (highest - 0.03, highest):
        found = {start: soonest(curves, start, level) for start in STARTS}
        (ours, our_rate), (theirs, their_rate) = found.values()
        name = f'photographs, {SIDE} px, fine-tuning: epochs to validation accuracy {level:.3f}'
        words = f'{ours} (rate {our_rate:g})', f'{theirs} (rate {their_rate:g})'
        rows.append((name, *words, 'embedded at most half', yes(ours <= theirs / 2)))
    best = [f'{max(curves[start, rate].max() for rate in RATES):.3f}' for start in STARTS]
    rows.append((f'the same, highest in {EPOCHS} epochs', *best, '', ''))
    return rows


def soonest(
    curves: dict[tuple[str, float], np.ndarray], start: str, level: float
) -> tuple[float, float]:
    """The fewest epochs (from 1, infinite if never) and their learning rate."""
    return min((first_epoch(curves[start, rate], level), rate) for rate in RATES)


def fine_tuned(photographs: Path, start: str, rate: float, seed: int, folder: Path) -> list[float]:
    """Validation accuracy after each epoch."""
    stage = f'{{epochs: {EPOCHS}, learning_rate: {rate}, from_layer: 0, batch_norm: train}}'
    changes = {
        'trainer.feature_extraction': '{epochs: 0}',
        'trainer.fine_tune': stage,
        'trainer.seed': seed,
    }
    workdir = folder / f'{start}-{rate}-{seed}'
    _, history = pipeline(workdir, changes, start, '--data', str(photographs))
    print(f'{start}, rate {rate:g}, seed {seed}:', *(f'{each:.3f}' for each in history), flush=True)
    return history


def pipeline(
    workdir: Path, changes: dict[str, object], start: str, *options: str
) -> tuple[float, list[float]]:
    """Runs the demo pipeline.

    Returns:
        Test accuracy, and validation accuracy after each epoch of the last stage.
    """
    changes = {**SETTINGS, **changes, 'trainer.weights': start}
    timed(*DEMO, '--workdir', workdir, *options, *overrides(changes))
    (summary,) = workdir.glob('*/runs/*.json')
    (history,) = workdir.glob('*/artifacts/Trainer/model_run/*/history.json')
    stages = json.loads(history.read_text())
    return json.loads(summary.read_text())['accuracy'], stages[-1]['metrics']['val_accuracy']


def drawings() -> tuple[np.ndarray, np.ndarray]:
    """The demo's drawings, in the format of `read_images`."""
    from components.drawings import draw

    return resized([draw(number) for number in range(2000)]), np.arange(2000) % 2


def read_images(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images of a folder with one folder per class, resized and shuffled.

    Returns:
        float32 [n, SIDE, SIDE, 3] in 0..255, and labels [n].
    """
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    files = [(file, label) for label, each in enumerate(classes) for file in sorted(each.iterdir())]
    chosen = [files[number] for number in np.random.default_rng(0).permutation(len(files))]
    images = resized([file.read_bytes() for file, _ in chosen])
    return images, np.array([label for _, label in chosen])


def resized(encoded: Sequence[bytes]) -> np.ndarray:
    """Images resized with the project's preprocessing: float32 [n, SIDE, SIDE, 3] in 0..255."""
    import tensorflow as tf

    from trainer.preprocessing import decode_and_resize

    return np.concatenate([decode_and_resize(tf.constant([one]), SIDE).numpy() for one in encoded])


def features(images: np.ndarray, start: str, seed: int) -> np.ndarray:
    """Pooled features of the frozen base, float32 [n, channels]."""
    import keras

    from trainer.config.train import TrainConfig
    from trainer.data.embedding import scale
    from trainer.model.backbone import build_backbone

    keras.utils.set_random_seed(seed)
    config = TrainConfig(image_size=SIDE, alpha=0.35, weights=start)
    maps = build_backbone(config).model.predict(scale(images), batch_size=64, verbose=0)
    return maps.mean(axis=(1, 2))


def crossvalidated(values: np.ndarray, labels: np.ndarray) -> float:
    """Mean accuracy of logistic regression over the folds, with nested choice of the penalty."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    head = LogisticRegressionCV(Cs=INVERSE_PENALTIES, cv=3, max_iter=500)
    model = make_pipeline(StandardScaler(), head)
    scores = cross_val_score(model, values, labels, cv=StratifiedKFold(FOLDS))
    return float(scores.mean())


def first_epoch(curve: np.ndarray, level: float) -> float:
    """First of two consecutive epochs at or above a level, counted from 1; infinite if none."""
    above = np.flatnonzero(np.minimum(curve[:-1], curve[1:]) >= level)
    return int(above[0]) + 1 if len(above) else float('inf')


def each(found: dict[str, list[float]]) -> tuple[str, ...]:
    return tuple(spread(found[start]) for start in STARTS)


def spread(values: Sequence[float]) -> str:
    mean = f'{statistics.mean(values):.3f}'
    return mean if len(values) == 1 else f'{mean} ({min(values):.3f} to {max(values):.3f})'


def yes(reached: bool) -> str:
    return 'yes' if reached else 'NO'


if __name__ == '__main__':
    main()
