"""A model card: what the model is for, what it was measured on, and where it is weak.

Follows Mitchell et al., "Model Cards for Model Reporting" (2019): what a person has not written in
the recipe is said from the facts of the run, or said to be unknown.
"""

import dataclasses
from collections.abc import Iterator

from components.evaluation.config import EvaluationConfig
from components.evaluation.results import ACCURACY, OVERALL, Estimate, SliceResult
from pipeline.config.recipe import ReportConfig
from pipeline.report.content.page_data import ReportData
from pipeline.report.page.tables import in_words

_NAMED = 20  # classes in a sentence
_WEAK_LOSS = 0.1  # of accuracy under a corruption
_UNBALANCED = 2.0  # times as many training images of one class as of another


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """The sections of a card, each as sentences."""

    details: tuple[str, ...]
    intended_use: tuple[str, ...]
    out_of_scope: tuple[str, ...]
    training_data: tuple[str, ...]
    metrics: tuple[str, ...]
    limits: tuple[str, ...]
    considerations: tuple[str, ...]


def model_card(data: ReportData) -> ModelCard:
    """The card of the model of a run."""
    words = ReportConfig.model_validate(data.config.get('report', {}))
    return ModelCard(
        details=tuple(_details(data)),
        intended_use=(words.intended_use or _intended(data),),
        out_of_scope=tuple(_out_of_scope(data, words)),
        training_data=tuple(_training_data(data)),
        metrics=tuple(_metrics(data)),
        limits=tuple(_limits(data)),
        considerations=(words.considerations or _UNEXAMINED,),
    )


_UNEXAMINED = (
    'The images carry no information on people, places or rights; neither was examined. Whoever '
    'uses the model for decisions about people should examine that first '
    '(recipe key report.considerations).'
)


def _details(data: ReportData) -> Iterator[str]:
    trainer = data.config.get('trainer', {})
    yield (
        f'An image classifier: MobileNetV2 {trainer.get("alpha", "")} at '
        f'{trainer.get("image_size", "?")}x{trainer.get("image_size", "?")} pixels with a new head.'
    )
    if data.origin:
        yield f'Trained by run {data.origin.trained_by} from weights: {data.origin.weights}.'
    if data.standing.version:
        yield f'Pushed as version {data.standing.version}.'


def _intended(data: ReportData) -> str:
    return (
        f'Tells which of {_classes(data)} a picture shows, for pictures like those it was trained '
        'on (recipe key report.intended_use says more).'
    )


def _out_of_scope(data: ReportData, words: ReportConfig) -> Iterator[str]:
    if words.out_of_scope:
        yield words.out_of_scope
    yield (
        f'It always answers with one of {_classes(data)}, also for pictures that show none; '
        'a probability near certainty is no sign that one is there.'
    )


def _training_data(data: ReportData) -> Iterator[str]:
    if data.data is None:
        return
    for split, counts in data.data.counts.items():
        parts = ', '.join(f'{number} {name}' for name, number in list(counts.items())[:_NAMED])
        yield f'{split}: {sum(counts.values())} images ({parts}).'
    if data.data.bad:
        yield f'{sum(data.data.bad.values())} of {data.data.seen} images could not be used.'


def _metrics(data: ReportData) -> Iterator[str]:
    if data.evaluation is None:
        return
    whole = data.evaluation.candidate.overall
    yield f'On {whole.images} test images: {_share(whole.metrics.get(ACCURACY))} accuracy.'
    if len(data.evaluation.classes) == 2:
        name, threshold = data.evaluation.classes[1], data.evaluation.threshold
        yield f'It says {name} from a probability of {threshold:g} on.'


def _limits(data: ReportData) -> Iterator[str]:
    weak = [*_weak_slices(data), *_weak_corruptions(data)]
    if weak or data.evaluation:
        yield from weak or ['No slice or corruption that was measured shows one.']
    else:
        yield 'None are known: it was not measured.'
    if not data.robustness or data.robustness.clean is None:
        yield 'It was not measured on noisy, blurred, dark or turned copies of images.'
    counts = list((data.data.counts.get('train', {}) if data.data else {}).values())
    if counts and max(counts) > _UNBALANCED * min(counts):
        yield f'Classes are unbalanced: {min(counts)} to {max(counts)} training images.'


def _weak_slices(data: ReportData) -> Iterator[str]:
    """Slices that are surely below the whole, and those that are too small to tell."""
    if data.evaluation is None:
        return
    least = data.config.get('evaluation', {}).get('min_images', EvaluationConfig().min_images)
    parts = [each for each in data.evaluation.candidate.slices if each.feature != OVERALL]
    whole = data.evaluation.candidate.overall.metrics.get(ACCURACY)
    for part in parts:
        mine = part.metrics.get(ACCURACY)
        if part.images >= least and _surely_below(mine, whole):
            yield f'Weaker on {_name(part)}: {_share(mine)} of {part.images} images.'
    few = [f'{_name(part)} ({part.images})' for part in parts if part.images < least]
    if few:
        yield f'Too few test images to judge: {", ".join(few[:_NAMED])}.'


def _weak_corruptions(data: ReportData) -> Iterator[str]:
    """Corruptions that cost much, each at the mildest severity that does."""
    clean = data.robustness.clean.value if data.robustness and data.robustness.clean else None
    if data.robustness is None or clean is None:
        return
    told: set[str] = set()
    for each in sorted(data.robustness.corrupted, key=lambda row: row.severity):
        value = each.accuracy.value
        if each.corruption not in told and value is not None and clean - value >= _WEAK_LOSS:
            told.add(each.corruption)
            yield (
                f'Sensitive to {each.corruption}: {value:.1%} at severity {each.severity}, '
                f'{clean:.1%} without.'
            )


def _surely_below(part: Estimate | None, whole: Estimate | None) -> bool:
    """Whether the interval of a part ends below the value of the whole."""
    if part is None or whole is None or part.high is None or whole.value is None:
        return False
    return part.high < whole.value


def _name(part: SliceResult) -> str:
    return in_words(part.feature, part.name)


def _share(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return 'no number for'
    if estimate.low is None or estimate.high is None:
        return f'{estimate.value:.1%}'
    return f'{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})'


def _classes(data: ReportData) -> str:
    classes = data.data.classes if data.data else ()
    if not 0 < len(classes) <= _NAMED:
        return f'{len(classes) or "its"} classes'
    return ', '.join(classes[:-1]) + f' and {classes[-1]}' if len(classes) > 1 else classes[0]
