"""Decides whether to train, from the recipe, the data and ML Metadata. Imports no TensorFlow."""

import dataclasses
import datetime
from collections.abc import Sequence

from common.blessing import BLESSING, decision_of
from common.metadata_queries import Node
from common.mirror import uri_of
from components.image_example_gen.ingestion.ingested import known_fingerprint
from components.image_example_gen.sources.spans import FIRST_SPAN, Span, open_window
from components.pusher.serving_folder import pushed_at, versions_in
from pipeline.config.recipe import Recipe
from pipeline.formatting import named
from pipeline.models.provenance import Provenance

_DAY = datetime.timedelta(days=1)


@dataclasses.dataclass(frozen=True)
class Decision:
    """Whether to train, and why."""

    train: bool  # True if there is a reason to train
    reason: str  # clauses that are separated by semicolons
    spans: tuple[int, ...] = ()  # numbers of the spans in the window, oldest first
    # Numbers of the spans in the window that no run has used in their current state
    new: tuple[int, ...] = ()


def decide(recipe: Recipe, provenance: Provenance, now: datetime.datetime) -> Decision:
    """Decides by new images, the age of the live model and the serving directory.

    Raises DataError if the images cannot be used.
    """
    versions, window = versions_in(recipe.serving_directory), open_window(recipe.data)
    candidates = _candidates(provenance)
    new = _unused(recipe, provenance, candidates, window)
    images = sum(span.source.count for span in new)
    if new:
        reasons = [f'new or changed: {images:,} image{"s" * (images != 1)}{_place(new)}']
    else:
        reasons = [f'nothing new{_place(window)}']
    train = images >= recipe.retrain.min_new_images
    if not train:
        if new:
            reasons.append(f'min_new_images is {recipe.retrain.min_new_images}')
        live_since = pushed_at(versions[-1]) if versions else None
        last = max((gate.ended for gate in candidates), default=live_since or now)
        train, age = _age(recipe.retrain.max_age_days, live_since, last, now)
        reasons.append(age)
    if not versions and provenance.pushed():
        train = True
        reasons.append(f'no model is in {uri_of(recipe.serving_directory)}')
    spans, unused = (tuple(span.number for span in each) for each in (window, new))
    return Decision(train, '; '.join(reasons), spans, unused)


def _candidates(provenance: Provenance) -> list[Node]:
    """The gate decisions on candidates, except those whose pushes were interrupted."""
    pushed = provenance.pushed()
    return [
        gate
        for gate in provenance.gate_decisions()
        if decision_of(gate.output(BLESSING)) is False
        or any(model.id in pushed for model in gate.inputs.get('model', ()))
    ]


def _unused(
    recipe: Recipe, provenance: Provenance, candidates: Sequence[Node], window: Sequence[Span]
) -> list[Span]:
    """The spans of a window that no candidate was trained on in their current state."""
    used = {
        span
        for gate in candidates
        for span in provenance.training_spans(gate.input('model')).items()
    }
    examples = recipe.artifacts_directory / 'ImageExampleGen' / 'examples'
    return [
        span
        for span in window
        if (span.number, known_fingerprint(span.source, examples, span.number)) not in used
    ]


def _place(spans: Sequence[Span]) -> str:
    """` in spans 3 and 4`; empty for images without spans."""
    numbers = [span.number for span in spans]
    return '' if numbers == [FIRST_SPAN] else f' in {named(numbers)}'


def _age(
    limit: float | None,
    live_since: datetime.datetime | None,
    last_candidate: datetime.datetime,
    now: datetime.datetime,
) -> tuple[bool, str]:
    """Whether the live model's age is a reason to train, and a clause with the age."""
    if live_since is None:
        return False, 'no model is live'
    age, since_candidate = (now - live_since) / _DAY, abs(now - last_candidate) / _DAY
    text = f'the live model is {age:.1f} days old'
    if limit is None or abs(age) <= limit:  # below 0, the clock was ahead
        return False, text
    text += f' (limit {limit:g})'
    if since_candidate <= limit:
        return False, f'{text}, but a candidate was evaluated {since_candidate:.1f} days ago'
    return True, text
