import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from components.evaluation.gate.exact_test import (
    acceptance,
    critical_value,
    fewest_better,
    lower_bound,
    score,
)

NORMAL = float(norm.ppf(0.95))


@pytest.mark.parametrize(
    ('better', 'worse', 'images', 'confidence', 'low', 'high'),
    [
        # Fagerland, Lydersen and Laake, "Recommended tests and confidence intervals for paired
        # binomial proportions" (2014): airway hyper-responsiveness.
        (1, 7, 21, 0.95, -0.517, -0.026),
        (0, 1, 44, 0.90, -0.096, 0.037),  # Tango (1998): disinfection of contact lenses
    ],
)
def test_bounds_match_published_intervals(better, worse, images, confidence, low, high):
    critical = float(norm.ppf((1 + confidence) / 2))
    assert lower_bound(better, worse, images, critical) == pytest.approx(low, abs=5e-4)
    assert -lower_bound(worse, better, images, critical) == pytest.approx(high, abs=5e-4)


def test_score_matches_published_statistic():
    assert score(0, 1, 44, 0.1) == pytest.approx(1.709, abs=5e-4)  # Tango (1998)


@pytest.mark.parametrize('margin', [-0.3, 0.02, 0.4])
def test_score_uses_most_likely_shares_under_hypothesis(margin):
    better, worse, images = 9, 14, 60
    low, high = max(0, -margin), (1 - margin) / 2

    def unlikelihood(share):
        rest = 1 - 2 * share - margin
        return -(
            better * np.log(share)
            + worse * np.log(share + margin)
            + (images - better - worse) * np.log(rest)
        )

    share = minimize_scalar(unlikelihood, bounds=(low, high), method='bounded').x
    deviation = np.sqrt(images * (2 * share + margin - margin**2))
    expected = (better - worse + images * margin) / deviation
    assert score(better, worse, images, margin) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize('margin', [0.0, 0.005, 0.02, 0.1])
@pytest.mark.parametrize('images', [1, 10, 40, 133, 149, 300, 700, 2300])
def test_accepts_candidate_worse_by_margin_at_most_five_percent(images, margin):
    shares = np.linspace(margin, 0.3, 23)
    chances = [acceptance(images, (s - margin) / 2, (s + margin) / 2, margin, 0.95) for s in shares]
    assert max(chances) <= 0.05


def test_normal_quantile_accepts_candidate_worse_by_margin_too_often():
    """The reason for an exact critical value: no mistakes on 133 images reach the quantile."""
    assert score(0, 0, 133, 0.02) > NORMAL
    assert 0.98**133 > 0.065  # probability of no mistake with a share of 0.02
    assert score(0, 0, 133, 0.02) < critical_value(133, 0.02, 0.95)


@pytest.mark.parametrize('more', [0.0, 0.01, 0.05])
def test_accepts_worse_candidates_less_often(more):
    worse = [acceptance(150, 0.02, 0.04 + more + x, 0.02, 0.95) for x in (0.0, 0.01)]
    assert worse[1] < worse[0] <= 0.05


def test_acceptance_agrees_with_enumeration():
    images, margin, better, worse = 12, 0.1, 0.1, 0.2
    critical = critical_value(images, margin, 0.95)
    generator = np.random.default_rng(0)
    counts = generator.multinomial(images, [better, worse, 1 - better - worse], 200_000)
    sampled = np.mean(score(counts[:, 0], counts[:, 1], images, margin) >= critical - 1e-9)
    assert acceptance(images, better, worse, margin, 0.95) == pytest.approx(sampled, abs=2e-3)


def test_region_of_acceptance_has_no_gaps():
    images = 120
    fewest = fewest_better(images, 0.02, 1.7)
    better, worse = np.meshgrid(np.arange(images + 1), np.arange(images + 1))
    possible = better + worse <= images
    reached = score(better, worse, images, 0.02) >= 1.7
    assert ((better >= fewest[worse])[possible] == reached[possible]).all()
    usable = fewest[fewest <= images - np.arange(images + 1)]
    assert (np.diff(usable) >= 0).all()


def test_critical_value_is_at_least_the_normal_quantile():
    values = [critical_value(images, 0.02, 0.95) for images in (1, 40, 400, 2300)]
    assert min(values) >= NORMAL
    assert values[-1] == pytest.approx(NORMAL, abs=0.01)
