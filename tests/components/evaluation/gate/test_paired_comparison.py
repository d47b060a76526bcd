import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binom

from components.evaluation.gate.paired import (
    ANCHOR_CONFIDENCE,
    compare,
    compare_balanced,
    compare_log_loss,
    images_needed,
    is_better,
    power,
    power_in_words,
)
from components.evaluation.results import LARGEST_LOSS, PairedCounts


def counts(images, better=0, worse=0, both_wrong=0):
    return PairedCounts(
        both_right=images - better - worse - both_wrong,
        only_candidate_right=better,
        only_other_right=worse,
        both_wrong=both_wrong,
    )


def swapped(each):
    return counts(each.images, each.only_other_right, each.only_candidate_right, each.both_wrong)


@pytest.mark.parametrize(
    ('images', 'better', 'worse', 'margin', 'outcome'),
    [
        (400, 6, 6, 0.02, 'not inferior'),
        (400, 6, 10, 0.02, 'undecided'),
        (400, 0, 9, 0.02, 'inferior'),
        (2, 0, 0, 0.02, 'undecided'),
        (148, 0, 0, 0.02, 'undecided'),  # 0.98 ** 148 is above 0.05
        (149, 0, 0, 0.02, 'not inferior'),
        (5000, 40, 70, 0.02, 'not inferior'),  # worse, but by less than the margin
        (400, 6, 6, 0.0, 'undecided'),
        (400, 12, 2, 0.0, 'not inferior'),
        (400, 2, 12, 0.0, 'inferior'),
        (1, 0, 1, 0.02, 'undecided'),
        (400, 400, 0, 0.02, 'not inferior'),
        (400, 0, 400, 0.02, 'inferior'),
        (400, 0, 400, 1.0, 'not inferior'),
    ],
)
def test_decides_by_bounds_of_difference(images, better, worse, margin, outcome):
    result = compare(counts(images, better, worse), margin)
    assert result.outcome == outcome
    assert -1 <= result.low <= result.difference <= result.high <= 1
    assert result.difference == pytest.approx((better - worse) / images)


def test_no_images_are_undecided():
    result = compare(counts(0), 0.02)
    assert (result.outcome, result.low, result.high) == ('undecided', -1, 1)
    assert compare_balanced([], 0.02).outcome == 'undecided'
    assert compare_log_loss(0, 0, 0, 0.1).outcome == 'undecided'
    assert power_in_words(counts(0), 0.02) == 'no images'


def test_bounds_of_swapped_models_are_mirrored():
    one, other = compare(counts(300, 9, 4), 0.0), compare(swapped(counts(300, 9, 4)), 0.0)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def test_bounds_rise_with_better_images_and_tighten_with_more_images():
    rising = [compare(counts(400, better, 8), 0.02).low for better in range(12)]
    assert (np.diff(rising) > 0).all()
    tighter = [compare(counts(n), 0.02).low for n in (50, 100, 400, 1600)]
    assert (np.diff(tighter) > 0).all()


def test_bounds_do_not_depend_on_images_both_get_wrong():
    assert compare(counts(400, 6, 8), 0.02) == compare(counts(400, 6, 8, both_wrong=30), 0.02)


def test_higher_confidence_asks_for_more():
    equal = counts(400, 6, 7)
    assert compare(equal, 0.02).outcome == 'not inferior'
    assert compare(equal, 0.02, ANCHOR_CONFIDENCE).outcome == 'undecided'


@pytest.mark.parametrize(
    ('better', 'worse', 'expected'), [(12, 2, True), (5, 2, False), (2, 12, False), (0, 0, False)]
)
def test_is_better_needs_a_significant_difference(better, worse, expected):
    assert is_better(counts(400, better, worse)) is expected


@pytest.mark.parametrize('share', [0.01, 0.03, 0.1])
@pytest.mark.parametrize('margin', [0.02, 0.05])
def test_images_needed_have_the_power(share, margin):
    needed = images_needed(share, margin)
    assert power(needed, share, margin) >= 0.8
    assert power(needed // 2, share, margin) < 0.8


@pytest.mark.parametrize(('share', 'margin'), [(0.1, 0.01), (0.4, 0.02), (0.05, 0.004)])
def test_number_of_images_is_that_of_the_normal_approximation(share, margin):
    """Above 5,000 images, with the variance of the most likely candidate worse by the margin."""

    def negative_likelihood(better):  # shares of images that only one model classifies correctly
        worse = better + margin
        neither = (1 - share) * np.log(1 - better - worse)
        return -(share / 2 * (np.log(better) + np.log(worse)) + neither)

    bounds, options = (1e-9, (1 - margin) / 2 - 1e-9), {'xatol': 1e-12}
    found = minimize_scalar(negative_likelihood, bounds=bounds, method='bounded', options=options)
    null = np.sqrt(2 * found.x + margin - margin**2)
    expected = ((1.6448536 * null + 0.8416212 * np.sqrt(share)) / margin) ** 2  # 95 % and 80 %

    assert expected > 5000
    assert images_needed(share, margin) == pytest.approx(expected, abs=2)


def test_power_beyond_exact_sizes_continues():
    assert power(5001, 0.3, 0.02) == pytest.approx(power(5000, 0.3, 0.02), abs=0.01)


def test_no_number_of_images_suffices_without_margin():
    with pytest.raises(ValueError, match='margin of 0'):
        images_needed(0.03, 0.0)
    assert 'at most 5 % of the time' in power_in_words(counts(400, 6, 6), 0.0)


def test_words_name_power_and_number_of_images():
    words = power_in_words(counts(402, 6, 6), 0.02)
    assert words == (
        'at 2.99 % discordant pairs 402 images accept an equally good model 70 % of the time at a '
        f'margin of 0.02; {images_needed(12 / 402, 0.02)} are needed for 80 %'
    )


def test_words_state_the_power_at_the_confidence_of_the_comparison():
    few = counts(170)  # enough for 95 %
    assert compare(few, 0.02, ANCHOR_CONFIDENCE).outcome == 'undecided'
    needed = images_needed(0.03, 0.02, confidence=ANCHOR_CONFIDENCE)
    assert needed > images_needed(0.03, 0.02)
    words = power_in_words(counts(400, 6, 6), 0.02, ANCHOR_CONFIDENCE)
    assert words.endswith(f'{needed} are needed for 80 %')


def test_words_without_discordant_pairs_assume_the_upper_bound():
    assert power_in_words(counts(300), 0.02).startswith('at 0.994 % discordant pairs 300 images')


def test_balanced_accuracy_weighs_classes_equally():
    result = compare_balanced([counts(950), counts(50, 0, 15), counts(0)], 0.05)
    assert result.outcome == 'inferior'
    assert result.difference == pytest.approx(-0.15)
    assert compare(counts(1000, 0, 15), 0.05).outcome == 'not inferior'


def test_balanced_accuracy_of_one_class_is_its_accuracy():
    assert compare_balanced([counts(400, 6, 8)], 0.02) == compare(counts(400, 6, 8), 0.02)


@pytest.mark.parametrize(
    ('sizes', 'drops'), [((60, 60), (0.1, 0.0)), ((60, 60), (0.05, 0.05)), ((200, 30), (0.0, 0.1))]
)
def test_balanced_accuracy_worse_by_margin_is_rarely_accepted(sizes, drops):
    generator = np.random.default_rng(0)
    accepted = 0
    for _ in range(600):
        drawn = [
            counts(size, *generator.multinomial(size, [0.02, drop + 0.02, 0.96 - drop])[:2])
            for size, drop in zip(sizes, drops, strict=True)
        ]
        accepted += compare_balanced(drawn, 0.05).outcome == 'not inferior'
    assert accepted / 600 < 0.075  # 0.05 and three standard errors


@pytest.mark.parametrize('margin', [0.02, 0.1])
@pytest.mark.parametrize('usual', [-0.1, 0.0, 0.01])
@pytest.mark.parametrize('images', [40, 400, 2300])
def test_log_loss_worse_by_rare_large_losses_is_rarely_accepted(images, usual, margin):
    """Exact: each image has the usual difference, or with a small probability the largest one."""
    probability = (margin - usual) / (LARGEST_LOSS - usual)
    rare = np.arange(images + 1)
    totals = rare * LARGEST_LOSS + (images - rare) * usual
    squares = rare * LARGEST_LOSS**2 + (images - rare) * usual**2
    accepted = [
        compare_log_loss(images, total, square, margin).outcome == 'not inferior'
        for total, square in zip(totals[:80], squares[:80], strict=False)
    ]
    size = len(accepted)
    assert binom.pmf(rare[:size], images, probability) @ np.array(accepted) <= 0.05


@pytest.mark.parametrize(
    ('images', 'mean', 'outcome'),
    [
        (500, 0.0, 'not inferior'),
        (500, 0.08, 'inferior'),
        (500, 0.02, 'not inferior'),
        (40, 0.0, 'undecided'),
        (2, -1.0, 'undecided'),
    ],
)
def test_log_loss_decides_by_bounds(images, mean, outcome):
    result = compare_log_loss(images, images * mean, images * (mean**2 + 0.05), 0.1)
    assert result.outcome == outcome
    assert -LARGEST_LOSS <= result.low <= result.difference <= result.high <= LARGEST_LOSS
    assert result.difference == pytest.approx(mean)
