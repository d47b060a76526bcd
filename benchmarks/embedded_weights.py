"""What the embedded weights are worth, beside a random start with the same budget.

Usage: embedded_weights.py [--seeds N]. Prints one table: the head alone on the drawings, a logistic
head on frozen features of photographs, and the epochs that fine-tuning on photographs needs. The
photographs are those of CATDOG_DATA; without it only the drawings are measured.
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
from rich.console import Console
from rich.table import Table
from run import given_photographs, machine, timed

STARTS = ('embedded', 'random')
SIDE, FOLDS = 96, 5
HEAD_EPOCHS, EPOCHS = 60, 24
RATES = (1e-3, 3e-3, 8e-3)  # each start is given the one that is best for it
STRENGTHS = np.logspace(-5, 1, 7)  # of the logistic head's penalty, chosen within each fold


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seeds', type=int, default=3, help='runs of each kind; default: 3')
    seeds = range(parser.parse_args().seeds)
    console = Console(highlight=False, width=120)
    console.print(machine())
    table = Table('measured', *STARTS, 'bar', 'reached')
    with tempfile.TemporaryDirectory() as folder:
        table.add_row(*head_on_drawings(seeds, Path(folder, 'drawings')))
        if os.environ.get('CATDOG_DATA'):
            photographs, _ = given_photographs(os.environ['CATDOG_DATA'])
            table.add_row(*logistic_on_photographs(photographs, seeds))
            for row in epochs_on_photographs(photographs, seeds, Path(folder, 'photographs')):
                table.add_row(*row)
    console.print(table)


def head_on_drawings(seeds: Sequence[int], folder: Path) -> tuple[str, ...]:
    """Stage 1 of the pipeline alone: a linear head on the frozen base, accuracy on test."""
    changes = {
        'trainer.feature_extraction.epochs': HEAD_EPOCHS, 'trainer.fine_tune.epochs': 0,
        'trainer.feature_extraction.learning_rate': 3e-3,
    }  # fmt: skip
    found = {
        start: [
            pipeline(folder / f'{start}-{seed}', {**changes, 'trainer.seed': seed}, start)[0]
            for seed in seeds
        ]
        for start in STARTS
    }
    embedded, random = (statistics.mean(found[start]) for start in STARTS)
    bar = 'embedded at least 0.90, random 0.10 below'
    reached = embedded >= 0.90 and random <= embedded - 0.10
    name = 'drawings, stage 1 alone (frozen, linear head): test accuracy'
    return name, *map(spread, found.values()), bar, yes(reached)


def logistic_on_photographs(photographs: Path, seeds: Sequence[int]) -> tuple[str, ...]:
    """A logistic head on frozen features, 5 folds of all photographs, best penalty within each."""
    images, labels = read_images(photographs)
    embedded = [crossvalidated(features(images, 'embedded', 0), labels)]
    random = [crossvalidated(features(images, 'random', seed), labels) for seed in seeds]
    gain = statistics.mean(embedded) - statistics.mean(random)
    name = f'{len(labels)} photographs, {SIDE} px, logistic head on frozen features: accuracy'
    return name, spread(embedded), spread(random), 'embedded 0.10 above', yes(gain >= 0.10)


def epochs_on_photographs(
    photographs: Path, seeds: Sequence[int], folder: Path
) -> list[tuple[str, ...]]:
    """Epochs of fine-tuning all layers until validation is as good as a random start ever gets.

    Rates are constant and the same epochs are given to all. Curves are means over the seeds.
    """
    curves = {
        (start, rate): np.mean(
            [fine_tuned(photographs, start, rate, seed, folder) for seed in seeds], axis=0
        )
        for start, rate in itertools.product(STARTS, RATES)
    }
    best = {start: max(RATES, key=lambda rate: curves[start, rate].max()) for start in STARTS}
    chosen = {start: curves[start, rate] for start, rate in best.items()}
    highest = chosen['random'].max()
    rows = []
    for level in (np.floor(highest * 50) / 50, np.floor(highest * 100) / 100):
        epochs = [first_epoch(chosen[start], level) for start in STARTS]
        reached = epochs[0] is not None and epochs[1] is not None and epochs[0] <= epochs[1] / 2
        name = f'photographs, {SIDE} px, fine-tuning: epochs until validation accuracy {level:.2f}'
        words = [f'{number} (rate {best[start]:g})'
                 for start, number in zip(STARTS, epochs, strict=True)]  # fmt: skip
        rows.append((name, *words, 'embedded at most half', yes(reached)))
    best_of = [f'{chosen[start].max():.3f}' for start in STARTS]
    rows.append((f'the same, highest in {EPOCHS} epochs', *best_of, '', ''))
    return rows


def fine_tuned(photographs: Path, start: str, rate: float, seed: int, folder: Path) -> list[float]:
    """Validation accuracy after each epoch."""
    changes = {
        'trainer.fine_tune.epochs': EPOCHS, 'trainer.fine_tune.learning_rate': rate,
        'trainer.fine_tune.schedule': 'constant', 'trainer.fine_tune.from_layer': 0,
        'trainer.fine_tune.batch_norm': 'train', 'trainer.feature_extraction.epochs': 0,
        'trainer.seed': seed,
    }  # fmt: skip
    workdir = folder / f'{start}-{rate}-{seed}'
    _, history = pipeline(workdir, changes, start, '--data', str(photographs))
    print(f'{start}, rate {rate:g}, seed {seed}:', *(f'{each:.3f}' for each in history), flush=True)
    return history


def pipeline(
    workdir: Path, changes: dict[str, object], start: str, *options: str
) -> tuple[float, list[float]]:
    """Runs the demo's recipe, changed; test accuracy, and validation accuracy by epoch."""
    changes = {**changes, 'trainer.weights': start, 'evaluation.robustness.images': 0}
    words = [word for item in changes.items() for word in ('--set', '{}={}'.format(*item))]
    timed('pipeline_runner.py', 'run', '--workdir', workdir, *options, *words)
    (summary,) = workdir.glob('*/last_run.json')
    (history,) = workdir.glob('*/artifacts/Trainer/model_run/*/history.json')
    stages = json.loads(history.read_text())
    return json.loads(summary.read_text())['accuracy'], stages[-1]['metrics']['val_accuracy']


def read_images(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """All images of a folder of classes, as Transform resizes them, in an order by chance.

    Returns:
        float32 [n, SIDE, SIDE, 3] in 0..255, and labels [n].
    """
    import tensorflow as tf

    from trainer.preprocessing import decode_and_resize

    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    files = [(file, label) for label, each in enumerate(classes) for file in sorted(each.iterdir())]
    chosen = [files[number] for number in np.random.default_rng(0).permutation(len(files))]
    images = [
        decode_and_resize(tf.constant([file.read_bytes()]), SIDE).numpy() for file, _ in chosen
    ]
    return np.concatenate(images), np.array([label for _, label in chosen])


def features(images: np.ndarray, start: str, seed: int) -> np.ndarray:
    """Pooled features of the frozen base, float32 [n, channels]."""
    import keras

    from trainer.backbone import build_backbone
    from trainer.config import TrainConfig
    from trainer.embedding import scale

    keras.utils.set_random_seed(seed)
    config = TrainConfig(image_size=SIDE, alpha=0.35, weights=start)
    maps = build_backbone(config).whole.predict(scale(images), batch_size=64, verbose=0)
    return maps.mean(axis=(1, 2))


def crossvalidated(values: np.ndarray, labels: np.ndarray) -> float:
    """Mean accuracy of a logistic head over the folds; its penalty is chosen without the fold."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    head = LogisticRegressionCV(Cs=STRENGTHS, cv=3, max_iter=500)
    model = make_pipeline(StandardScaler(), head)
    scores = cross_val_score(model, values, labels, cv=StratifiedKFold(FOLDS))
    return float(scores.mean())


def first_epoch(curve: np.ndarray, level: float) -> int | None:
    """Counted from 1; None if the curve stays below."""
    above = np.flatnonzero(curve >= level)
    return int(above[0]) + 1 if len(above) else None


def spread(values: Sequence[float]) -> str:
    mean = f'{statistics.mean(values):.3f}'
    return mean if len(values) == 1 else f'{mean} ({min(values):.3f} to {max(values):.3f})'


def yes(reached: bool) -> str:
    return 'yes' if reached else 'NO'


if __name__ == '__main__':
    main()
