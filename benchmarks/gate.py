"""Simulation of the gate's comparison with the live model: error rates, and 60 ticks of drift.

    python benchmarks/gate.py [--json FILE] [--quick] [--seed N]

Uses the functions of the gate (`components/evaluation/gate/paired.py`), next to the former rule
"accuracy at most `max_drop` below that of the live model". The chances are exact sums over all
possible counts. The histories are simulated: the candidate of each tick is trained from the live
model, its quality differs from it by a normal amount, and all models are judged on new images.
"""

import argparse
import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy.optimize import brentq
from scipy.special import ndtri
from scipy.stats import binom, multivariate_normal

from components.evaluation.config import EvaluationConfig
from components.evaluation.gate.exact_test import acceptance
from components.evaluation.gate.paired import (
    ANCHOR_CONFIDENCE,
    CONFIDENCE,
    compare,
    compare_balanced,
    compare_log_loss,
    images_needed,
    is_better,
    power,
)
from components.evaluation.results import LARGEST_LOSS, PairedCounts

CONFIG = EvaluationConfig()
MARGIN = CONFIG.max_drop
LIVE = 0.97  # accuracy of the first live model
BEST = 0.98  # no candidate is better
DISCORDANT = 0.03  # share of two models with accuracy LIVE
SIZES = (40, 400, 2300)
CANDIDATES = {
    'better by 0.01': 0.01,
    'equal': 0.0,
    'worse by 0.01': -MARGIN / 2,
    'worse by the margin': -MARGIN,
}
BALANCED_MARGIN, LOSS_MARGIN = CONFIG.max_balanced_drop, CONFIG.max_log_loss_rise
LARGER_CLASS = (0.5, 0.95)  # share of the images
LOGITS, NOISE = (5, 2.5), 0.9  # mean and deviation; gives LIVE and 2.5 % discordant images
TICKS, SPREAD = 60, 0.01  # SPREAD: standard deviation of a candidate's quality
DRIFTS = [0.0, -0.002, -0.005]  # mean quality of a candidate minus that of the live model
FORMER = {'max_drop 0': 0.0, 'max_drop 0.01': 0.01}

Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]
Rule = Callable[[Integers, Integers, int], Booleans]  # images only the first, second gets right


@dataclass(frozen=True)
class Chances:
    """Probabilities of the outcomes of one comparison."""

    images: int
    discordant: float
    candidate: str
    not_inferior: float
    undecided: float
    inferior: float
    former: dict[str, float]  # acceptance by the former rule, by `max_drop`


@dataclass(frozen=True)
class Metrics:
    """Acceptance of equal candidates by each metric, and by all."""

    images: int
    larger_class: float
    accuracy: float
    balanced_accuracy: float
    log_loss: float
    all: float


@dataclass(frozen=True)
class Histories:
    """Results of simulated histories of one rule."""

    rule: str
    images: int
    drift: float
    within_margin: float  # share that ends at most a margin below its best live model
    pushed: float  # share of the candidates
    final: float  # mean quality of the last live model
    worst: float  # 5th percentile of the last live model's quality minus the best
    by_tick: list[float]  # `within_margin` after each tick


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', type=Path, help='file for the results')
    parser.add_argument('--quick', action='store_true', help='fewer histories and sizes')
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args(arguments)
    chances = [
        exact_chances(images, share, name, difference)
        for images in SIZES
        for share in (DISCORDANT, 2 * DISCORDANT)
        for name, difference in CANDIDATES.items()
    ]
    size, worst = largest_error((10, 40, 150, 400) if options.quick else range_of_sizes())
    needed = images_needed(DISCORDANT, MARGIN)
    generator = np.random.default_rng(options.seed)
    number = 100 if options.quick else 400
    sizes = [400] if options.quick else [400, needed, 2300]
    drifts = DRIFTS[:1] if options.quick else DRIFTS
    histories = [
        simulate(rule, images, drift, number, generator)
        for images in sizes
        for drift in drifts
        for rule in (*FORMER, 'without anchor', 'shipped')
    ]
    metrics = [
        equal_candidates(images, larger, number, generator)
        for images in sizes
        for larger in LARGER_CLASS
    ]
    results = {
        'chances': [asdict(each) for each in chances],
        'largest_acceptance_of_worse_by_margin': worst,
        'images_needed': needed,
        'power_at_images_needed': power(needed, DISCORDANT, MARGIN),
        'metrics': [asdict(each) for each in metrics],
        'histories': [asdict(each) for each in histories],
    }
    show(chances, metrics, histories)
    print(
        f'a candidate worse by the margin is accepted at most {worst:.4f} of the time '
        f'(with {size} images), whatever the number of images and the discordant share'
    )
    print(
        f'{needed} images accept an equal candidate '
        f'{results["power_at_images_needed"]:.3f} of the time'
    )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def equal_candidates(
    images: int, larger: float, number: int, generator: np.random.Generator
) -> Metrics:
    """Draws logits of the right class for two equal models: image and model add to each."""
    accepted = []
    first = np.arange(images) < larger * images
    for _ in range(number):
        logits = generator.normal(*LOGITS, images) + generator.normal(0, NOISE, (2, images))
        losses = np.minimum(np.logaddexp(0, -logits), LARGEST_LOSS)
        right, excess = logits > 0, losses[0] - losses[1]
        by_class = [count(right[:, of]) for of in (first, ~first)]
        totals = float(excess.sum()), float((excess**2).sum())
        results = (
            compare(count(right), MARGIN),
            compare_balanced(by_class, BALANCED_MARGIN),
            compare_log_loss(images, *totals, LOSS_MARGIN),
        )
        accepted.append([each.outcome == 'not inferior' for each in results])
    table = np.array(accepted)
    accuracy, balanced, log_loss = table.mean(0).tolist()
    return Metrics(images, larger, accuracy, balanced, log_loss, float(table.all(1).mean()))


def count(right: Booleans) -> PairedCounts:
    candidate, other = right
    better, worse = int((candidate & ~other).sum()), int((other & ~candidate).sum())
    return counts_of(better, worse, len(candidate))


def range_of_sizes() -> tuple[int, ...]:
    return (*range(10, 200, 5), *range(200, 1000, 50), 1000, 1500, 2300, 3500, 5000)


def largest_error(sizes: tuple[int, ...]) -> tuple[int, float]:
    """The size at which a candidate worse by the margin is accepted most often, and how often."""
    shares = MARGIN + (0.3 - MARGIN) * np.linspace(0, 1, 40) ** 2
    found = [
        (acceptance(n, (share - MARGIN) / 2, (share + MARGIN) / 2, MARGIN, CONFIDENCE), n)
        for n in sizes
        for share in shares.tolist()
    ]
    chance, images = max(found)
    return images, chance


def exact_chances(images: int, share: float, name: str, difference: float) -> Chances:
    better, worse = (share + difference) / 2, (share - difference) / 2
    counts = np.arange(images + 1)
    of_better = binom.pmf(counts, images, better)
    totals = dict.fromkeys(('not inferior', 'undecided', 'inferior', *FORMER), 0.0)
    for b in np.flatnonzero(of_better > 1e-7).tolist():
        of_worse = of_better[b] * binom.pmf(counts, images - b, worse / (1 - better))
        for c in np.flatnonzero(of_worse > 1e-8).tolist():
            totals[outcome(b, c, images)] += float(of_worse[c])
        for rule, drop in FORMER.items():
            totals[rule] += float(of_worse[former_accepts(b, counts, images, drop)].sum())
    former_chances = {rule: totals[rule] for rule in FORMER}
    outcomes = (totals['not inferior'], totals['undecided'], totals['inferior'])
    return Chances(images, share, name, *outcomes, former_chances)


def former_accepts(better: Integers | int, worse: Integers, images: int, drop: float) -> Booleans:
    return worse - better <= drop * images + 1e-9


@functools.cache
def counts_of(better: int, worse: int, images: int) -> PairedCounts:
    return PairedCounts(
        both_right=images - better - worse,
        only_candidate_right=better,
        only_other_right=worse,
        both_wrong=0,
    )


@functools.cache
def outcome(better: int, worse: int, images: int, confidence: float = CONFIDENCE) -> str:
    return compare(counts_of(better, worse, images), MARGIN, confidence).outcome


def each_pair(judge: Callable[[int, int, int], bool]) -> Rule:
    """Applies a function of counts to arrays [histories], once per distinct pair of counts."""

    def judge_all(better: Integers, worse: Integers, images: int) -> Booleans:
        pairs, index = np.unique(np.stack([better, worse], 1), axis=0, return_inverse=True)
        results = np.array([judge(b, c, images) for b, c in pairs.tolist()], bool)
        return results[index.reshape(-1)]

    return judge_all


against_live = each_pair(lambda b, c, n: outcome(b, c, n) == 'not inferior')
against_anchor = each_pair(lambda b, c, n: outcome(b, c, n, ANCHOR_CONFIDENCE) == 'not inferior')
shown_better = each_pair(functools.cache(lambda b, c, n: is_better(counts_of(b, c, n))))


def simulate(
    rule: str, images: int, drift: float, number: int, generator: np.random.Generator
) -> Histories:
    """Simulates `number` histories of TICKS candidates.

    A model is right about an image if a normal variable is below the quantile of its quality; the
    variables of two models are correlated, so that models of quality LIVE have DISCORDANT pairs.
    """
    common = correlation()
    live = np.full(number, LIVE)
    anchor, best, is_live, pushed = live.copy(), live.copy(), np.ones(number, bool), 0.0
    by_tick = []
    for _ in range(TICKS):
        candidate = np.minimum(live + generator.normal(drift, SPREAD, number), BEST)
        image = np.sqrt(common) * generator.standard_normal((number, images), np.float32)
        right = [
            image + np.sqrt(1 - common) * generator.standard_normal(image.shape, np.float32)
            < ndtri(quality)[:, None]
            for quality in (candidate, live, anchor)
        ]
        right[2] = np.where(is_live[:, None], right[1], right[2])
        live_pair, anchor_pair = (
            ((right[0] & ~other).sum(1), (other & ~right[0]).sum(1)) for other in right[1:]
        )
        if rule in FORMER:
            better, worse = live_pair
            push = worse - better <= FORMER[rule] * images + 1e-9
        else:
            push = against_live(*live_pair, images)
            if rule == 'shipped':
                push &= is_live | against_anchor(*anchor_pair, images)
        moved = push & shown_better(*anchor_pair, images) if rule == 'shipped' else push
        live, anchor = np.where(push, candidate, live), np.where(moved, candidate, anchor)
        is_live = np.where(push, moved, is_live)
        best, pushed = np.maximum(best, live), pushed + float(push.mean()) / TICKS
        by_tick.append(float((live >= best - MARGIN - 1e-12).mean()))
    worst = float(np.quantile(live - best, 0.05))
    return Histories(rule, images, drift, by_tick[-1], pushed, float(live.mean()), worst, by_tick)


@functools.cache
def correlation() -> float:
    edge = ndtri(LIVE)

    def excess(value: float) -> float:
        both = multivariate_normal.cdf([edge, edge], cov=[[1, value], [value, 1]])
        return float(2 * (LIVE - both) - DISCORDANT)

    return float(brentq(excess, 0, 0.999))


def show(chances: list[Chances], metrics: list[Metrics], histories: list[Histories]) -> None:
    console = Console(highlight=False, width=120)
    table = Table('images', 'discordant', 'candidate', 'accepted', 'undecided', 'inferior', *FORMER)
    for each in chances:
        values = (each.not_inferior, each.undecided, each.inferior, *each.former.values())
        shown = (f'{value:.3f}' for value in values)
        table.add_row(str(each.images), f'{each.discordant:g}', each.candidate, *shown)
    console.print(table)
    console.print(f'The last {len(FORMER)} columns: accepted by the former rule.')
    console.print('Equal candidates: accepted by metric, and by all')
    table = Table('images', 'larger class', 'accuracy', 'balanced accuracy', 'log loss', 'all')
    for metric in metrics:
        values = (metric.accuracy, metric.balanced_accuracy, metric.log_loss, metric.all)
        shown = (f'{value:.3f}' for value in values)
        table.add_row(str(metric.images), f'{metric.larger_class:g}', *shown)
    console.print(table)
    table = Table('images', 'drift', 'rule', 'at most a margin below', 'pushed', 'final', '5 %')
    for run in histories:
        values = (run.within_margin, run.pushed, run.final, run.worst)
        shown = (f'{value:.3f}' for value in values)
        table.add_row(str(run.images), f'{run.drift:g}', run.rule, *shown)
    console.print(table)


if __name__ == '__main__':
    main()
