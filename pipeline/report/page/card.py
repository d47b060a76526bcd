"""Model card after Mitchell et al., "Model Cards for Model Reporting" (2019).

Texts come from `report:` in the recipe. Missing texts are derived from the run, or stated as
unknown.
"""

from collections.abc import Iterator

from components.evaluation.config import EvaluationConfig, slice_name
from components.evaluation.results import ACCURACY, OVERALL, Estimate
from pipeline.config.recipe import ReportConfig
from pipeline.report.content.page_data import ReportData

_MAX_LISTED = 20  # classes or slices in a sentence
_WEAK_LOSS = 0.1  # loss of accuracy under a corruption
_UNBALANCED = 2.0  # ratio of the largest class to the smallest
_NO_CONSIDERATIONS = (
    'The images have no metadata on people, places or rights, and these were not examined. Examine '
    'them before using the model for decisions about people (recipe key report.considerations).'
)


def model_card(data: ReportData) -> dict[str, list[str]]:
    """The model card of a run: sentences by section."""
    config = ReportConfig.model_validate(data.config.get('report', {}))
    return {
        'model': [*_details(data)],
        'intended use': [config.intended_use or _intended_use(data)],
        'out of scope': [*_out_of_scope(data, config)],
        'training data': [*_training_data(data)],
        'metrics': [*_metrics(data)],
        'limits': [*_limits(data)],
        'ethical considerations': [config.considerations or _NO_CONSIDERATIONS],
    }


def _details(data: ReportData) -> Iterator[str]:
    trainer = data.config.get('trainer', {})
    size = trainer.get('image_size', '?')
    yield (
        f'An image classifier: MobileNetV2 {trainer.get("alpha", "")} at {size}x{size} pixels '
        'with a new head.'
    )
    if data.origin:
        yield f'Trained by run {data.origin.trained_by} from weights: {data.origin.weights}.'
    if data.standing.version:
        yield f'Pushed as version {data.standing.version}.'


def _intended_use(data: ReportData) -> str:
    return (
        f'Classifies images similar to its training images as one of {_classes(data)} '
        '(recipe key report.intended_use).'
    )


def _out_of_scope(data: ReportData, config: ReportConfig) -> Iterator[str]:
    if config.out_of_scope:
        yield config.out_of_scope
    yield (
        f'The model predicts one of {_classes(data)} for every image, also if the image shows '
        'none of them; a high probability does not mean that it shows one.'
    )


def _training_data(data: ReportData) -> Iterator[str]:
    if data.data is None:
        return
    for split, counts in data.data.counts.items():
        parts = ', '.join(f'{number} {name}' for name, number in list(counts.items())[:_MAX_LISTED])
        yield f'{split}: {sum(counts.values())} images ({parts}).'
    if data.data.bad:
        yield f'{sum(data.data.bad.values())} of {data.data.seen} images were unusable.'


def _metrics(data: ReportData) -> Iterator[str]:
    if data.evaluation is None:
        return
    overall = data.evaluation.candidate.overall
    accuracy = _share(overall.metrics.get(ACCURACY))
    yield f'Accuracy on {overall.images} test images: {accuracy}.'
    if len(data.evaluation.classes) == 2:
        name, threshold = data.evaluation.classes[1], data.evaluation.threshold
        yield f'Predicts {name} if its probability is at least {threshold:g}.'


def _limits(data: ReportData) -> Iterator[str]:
    weak = [*_weak_slices(data), *_weak_corruptions(data)]
    if weak or data.evaluation:
        yield from weak or ['No weak slice or corruption was measured.']
    else:
        yield 'Unknown: slices and corruptions were not measured.'
    if not data.robustness or data.robustness.clean is None:
        yield 'Robustness to noise, blur, darkness and rotation was not measured.'
    counts = list((data.data.counts.get('train', {}) if data.data else {}).values())
    if counts and max(counts) > _UNBALANCED * min(counts):
        yield f'Classes are unbalanced: {min(counts)} to {max(counts)} training images.'


def _weak_slices(data: ReportData) -> Iterator[str]:
    """Slices significantly below the overall accuracy, and slices with too few images."""
    if data.evaluation is None:
        return
    config = data.config.get('evaluation', {})
    min_images = config.get('min_images', EvaluationConfig().min_images)
    slices = [each for each in data.evaluation.candidate.slices if each.feature != OVERALL]
    overall = data.evaluation.candidate.overall.metrics.get(ACCURACY)
    for each in slices:
        accuracy = each.metrics.get(ACCURACY)
        if each.images >= min_images and _significantly_below(accuracy, overall):
            name = slice_name(each.feature, each.name)
            yield f'Weaker on {name}: {_share(accuracy)} of {each.images} images.'
    few = [
        f'{slice_name(each.feature, each.name)} ({each.images})'
        for each in slices
        if each.images < min_images
    ]
    if few:
        yield f'Too few test images: {", ".join(few[:_MAX_LISTED])}.'


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


def _significantly_below(part: Estimate | None, overall: Estimate | None) -> bool:
    """Whether the confidence interval of a slice is below the overall value."""
    if part is None or overall is None or part.high is None or overall.value is None:
        return False
    return part.high < overall.value


def _share(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return 'no value'
    if estimate.low is None or estimate.high is None:
        return f'{estimate.value:.1%}'
    return f'{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})'


def _classes(data: ReportData) -> str:
    classes = data.data.classes if data.data else ()
    if not 0 < len(classes) <= _MAX_LISTED:
        return f'{len(classes) or "its"} classes'
    return ', '.join(classes[:-1]) + f' and {classes[-1]}' if len(classes) > 1 else classes[0]
