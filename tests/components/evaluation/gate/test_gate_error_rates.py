"""Error rates of the gate's comparison: exact for accuracy, simulated for the others.

Equal models have the same true accuracy, with 4 % of predictions changed. All seeds are stated.
"""

import functools

import numpy as np
import pytest
from scipy.stats import multinomial

from components.evaluation.comparison import compare
from components.evaluation.config import EvaluationConfig

MARGIN = EvaluationConfig().margin
CHANGED = 0.04


@functools.cache
def outcome(better, worse, images, margin=MARGIN):
    labels = np.zeros(images, int)
    candidate, reference = labels.copy(), labels.copy()
    candidate[:worse] = 1
    reference[worse : worse + better] = 1
    return compare(labels, candidate, reference, margin=margin).outcome


def rates(images, better, worse, margin=MARGIN):
    """Exact probabilities of a push and of `worse`, from the expected shares of changed images."""
    most = [int(images * each + 6 * np.sqrt(images * each) + 6) for each in (better, worse)]
    b, c = (each.ravel() for each in np.mgrid[: most[0], : most[1]])
    b, c = b[b + c <= images], c[b + c <= images]
    counts = np.stack([b, c, images - b - c], axis=1)
    weights = multinomial.pmf(counts, images, [better, worse, 1 - better - worse])
    likely = weights > 1e-7
    pushed = rejected = 0.0
    for x, y, weight in zip(b[likely], c[likely], weights[likely], strict=True):
        found = outcome(int(x), int(y), images, margin)
        pushed += weight * (found not in ('worse', 'undecided'))
        rejected += weight * (found == 'worse')
    return pushed, rejected


@pytest.mark.parametrize(('images', 'least'), [(100, 0.6), (500, 0.95)])
def test_an_equal_model_is_pushed(images, least):
    pushed, rejected = rates(images, CHANGED / 2, CHANGED / 2)
    assert pushed >= least
    assert rejected <= 0.055


@pytest.mark.parametrize('images', [100, 130, 200, 400])
@pytest.mark.parametrize('changed', [0.05, 0.07, 0.1, 0.2])
def test_a_model_worse_by_the_margin_is_pushed_at_most_5_percent_of_the_time(images, changed):
    better, worse = (changed - MARGIN) / 2, (changed + MARGIN) / 2
    assert rates(images, better, worse)[0] <= 0.051


@pytest.mark.parametrize(('images', 'changed'), [(100, 0.1), (130, 0.1), (130, 0.14), (200, 0.14)])
def test_a_model_worse_by_two_margins_is_not_pushed(images, changed):
    better, worse = (changed - 2 * MARGIN) / 2, (changed + 2 * MARGIN) / 2
    assert rates(images, better, worse)[0] <= 0.001


@pytest.mark.parametrize('images', [20, 50, 100, 400])
@pytest.mark.parametrize('changed', [0.02, 0.04, 0.1])
def test_an_equal_model_is_rejected_as_worse_at_most_5_5_percent_of_the_time(images, changed):
    assert rates(images, changed / 2, changed / 2)[1] <= 0.055


def simulated(draw, times, **keys):
    found = [compare(*draw(), **keys).outcome for _ in range(times)]
    pushed = np.mean([each not in ('worse', 'undecided') for each in found])
    return pushed, np.mean([each == 'worse' for each in found])


@pytest.mark.parametrize('sizes', [(200, 200), (350, 50), (60,) * 10, (20,) * 28])
def test_error_rates_of_the_balanced_accuracy(sizes):
    """500 draws of each; the standard error of 0.05 is 0.01."""
    random = np.random.default_rng(11)
    labels = np.repeat(np.arange(len(sizes)), sizes)

    def draw(drop):
        change = random.random(len(labels))
        better, worse = (CHANGED - drop) / 2, (CHANGED + drop) / 2
        better, worse = (better, worse) if better >= 0 else (0, drop)
        candidate = np.where(change < worse, -1, labels)
        return labels, candidate, np.where(change > 1 - better, -1, labels)

    keys = {'metric': 'balanced_accuracy', 'margin': MARGIN}
    assert simulated(lambda: draw(MARGIN), 500, **keys)[0] <= 0.07
    assert simulated(lambda: draw(0.0), 500, **keys)[1] <= 0.07


@pytest.mark.parametrize('groups', [20, 60])
def test_error_rates_with_groups(groups):
    """100 draws of groups of ten images of which all change, or none."""
    random = np.random.default_rng(12)
    labels, members = np.zeros(groups * 10, int), np.repeat(np.arange(groups), 10)

    def draw(better, worse):
        change = random.random(groups)[members]
        return labels, np.where(change < worse, -1, 0), np.where(change > 1 - better, -1, 0)

    keys = {'margin': 0.15, 'groups': members + 1}
    assert simulated(lambda: draw(0.05, 0.2), 100, **keys)[0] <= 0.1
    assert simulated(lambda: draw(0.1, 0.1), 100, **keys)[1] <= 0.1


def histories(images, mean, spread, times, seed, ticks=60):
    """The share of histories that end within a margin of their best live model.

    A candidate is trained from the live model, with 4 % of predictions changed, and its true
    accuracy differs from that of the live one by a normal deviate. The test images stay the same.
    """
    random = np.random.default_rng(seed)
    within = 0
    for _ in range(times):
        live = random.random(images) < 0.95
        reference, accuracy, best = live, 0.95, 0.95
        for _ in range(ticks):
            difference = random.normal(mean, spread)
            up, down = max((CHANGED + difference) / 2, 0), max((CHANGED - difference) / 2, 0)
            gain, loss = min(up / max(1 - accuracy, 1e-9), 1), min(down / accuracy, 1)
            change = random.random(images)
            candidate = np.where(live, change >= loss, change < gain)
            better, worse = (candidate & ~reference).sum(), (~candidate & reference).sum()
            if outcome(int(better), int(worse), images) in ('worse', 'undecided'):
                continue
            live, accuracy = candidate, accuracy * (1 - loss) + (1 - accuracy) * gain
            best = max(best, accuracy)
            reference = candidate if better > worse else reference
        within += accuracy >= best - MARGIN
    return within / times


@pytest.mark.parametrize('images', [400, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_chain_of_small_losses_does_not_drift(images):
    """200 histories of 60 candidates that are on average 0.002 worse."""
    assert histories(images, -0.002, 0.01, 200, seed=13) >= 0.98
