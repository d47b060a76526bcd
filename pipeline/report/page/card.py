"""Limits of a model for its model card; the template `card.html.j2` has the other sections."""

from collections.abc import Iterator

from components.evaluation.config import slice_name
from components.evaluation.results import ACCURACY, OVERALL, Estimate
from pipeline.report.content.page_data import ReportData

_MAX_LISTED = 20  # slices in a sentence
_WEAK_LOSS = 0.1  # loss of accuracy under a corruption
_UNBALANCED = 2.0  # ratio of the largest class to the smallest


def limits(data: ReportData) -> Iterator[str]:
    """Sentences on weak slices, weak corruptions, and what was not measured."""
    weak = [*_weak_slices(data), *_weak_corruptions(data)]
    if weak or data.evaluation:
        yield from weak or ['No weak slice or corruption was measured.']
    else:
        yield 'Unknown: slices and corruptions were not measured.'
    if not data.robustness or data.robustness.clean is None:
        yield 'Robustness to noise, blur, darkness and rotation was not measured.'
    counts = data.data.counts.get('train', {}).values() if data.data else ()
    if counts and max(counts) > _UNBALANCED * min(counts):
        yield f'Classes are unbalanced: {min(counts)} to {max(counts)} training images.'


def share(estimate: Estimate | None) -> str:
    """A share with its confidence interval, such as `97.0% (94.9% to 98.3%)`."""
    if estimate is None or estimate.value is None:
        return 'no value'
    if estimate.low is None or estimate.high is None:
        return f'{estimate.value:.1%}'
    return f'{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})'


def _weak_slices(data: ReportData) -> Iterator[str]:
    """Slices significantly below the overall accuracy, and slices with too few images."""
    if data.evaluation is None:
        return
    min_images = data.config['evaluation']['min_images']
    candidate = data.evaluation.candidate
    overall = candidate.overall.metrics.get(ACCURACY)
    few = []
    for each in candidate.slices:
        name, accuracy = slice_name(each.feature, each.name), each.metrics.get(ACCURACY)
        if each.feature == OVERALL:
            continue
        if each.images < min_images:
            few.append(f'{name} ({each.images})')
        elif _significantly_below(accuracy, overall):
            yield f'Weaker on {name}: {share(accuracy)} of {each.images} images.'
    if few:
        yield f'Too few test images: {", ".join(few[:_MAX_LISTED])}.'


def _significantly_below(part: Estimate | None, overall: Estimate | None) -> bool:
    """Whether the confidence interval of a slice is below the overall value."""
    if part is None or overall is None or part.high is None or overall.value is None:
        return False
    return part.high < overall.value


def _weak_corruptions(data: ReportData) -> Iterator[str]:
    """Corruptions with a large loss of accuracy, at their mildest such severity."""
    clean = data.robustness.clean.value if data.robustness and data.robustness.clean else None
    if data.robustness is None or clean is None:
        return
    reported: set[str] = set()
    for each in sorted(data.robustness.corrupted, key=lambda row: row.severity):
        value = each.accuracy.value
        if each.corruption not in reported and value is not None and clean - value >= _WEAK_LOSS:
            reported.add(each.corruption)
            yield (
                f'Sensitive to {each.corruption}: {value:.1%} at severity {each.severity}, '
                f'{clean:.1%} on clean images.'
            )
