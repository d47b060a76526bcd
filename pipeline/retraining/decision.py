"""Decides whether to train, from the recipe, the data and ML Metadata. Imports no TensorFlow."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence

from common.blessing import BLESSING, decision_of
from common.errors import TooFewImages
from components.image_example_gen.ingestion.ingested import known_fingerprint
from components.image_example_gen.sources.spans import (
    Span,
    incomplete_span,
    open_window,
    span_numbers,
)
from components.pusher.serving_folder import pushed_at, versions_in
from pipeline.config.recipe import Recipe
from pipeline.formatting import named, time_of
from pipeline.models.lineage import lineage_of
from pipeline.models.provenance import Provenance

# Time of the last use by number and fingerprint of a span.
Uses = Mapping[tuple[int, str], datetime.datetime]


@dataclasses.dataclass(frozen=True)
class Decision:
    """Whether to train, and why."""

    train: bool  # True if there is a reason to train
    reason: str  # one sentence without a full stop
    spans: tuple[int, ...] = ()  # numbers of the spans in the window, oldest first
    # Numbers of the spans in the window that no run has used in their current state
    new: tuple[int, ...] = ()
    # Numbers of the spans that the live model was trained on and that do not exist any more
    removed: tuple[int, ...] = ()


def decide(recipe: Recipe, provenance: Provenance, now: datetime.datetime) -> Decision:
    """Decides by new images, the age of the live model and the serving directory.

    Once a model is live, a newest span that lacks images waits for more; `spans` is empty then.
    Raises DataError if the images cannot be used.
    """
    removed = _removed_spans(recipe, provenance)
    try:
        window = open_window(recipe.data)
    except TooFewImages as error:
        waiting = incomplete_span(recipe.data) if versions_in(recipe.serving_directory) else None
        if waiting is None:
            raise
        reason = '; '.join([describe_waiting(waiting, error), *_describe_removed(removed)])
        return Decision(train=False, reason=reason, new=(waiting,), removed=removed)
    uses = _uses(provenance)
    examples = recipe.artifacts_directory / 'ImageExampleGen' / 'examples'
    fingerprints = {
        each.number: known_fingerprint(each.source, examples, each.number) for each in window
    }
    new = [span for span in window if (span.number, fingerprints[span.number]) not in uses]
    images, minimum = sum(span.source.count for span in new), recipe.retrain.min_new_images
    versions = versions_in(recipe.serving_directory)
    live_since = pushed_at(versions[-1]) if versions else None
    too_old, age = _age(
        recipe.retrain.max_age_days, live_since, max(uses.values(), default=live_since or now), now
    )
    missing = bool(provenance.pushed()) and not versions
    reasons = [_describe_new(new, uses) if new else _describe_used(fingerprints, uses)]
    if images < minimum:
        if new:
            reasons.append(f'min_new_images is {minimum}')
        reasons.append(age)
    if missing:
        reasons.append(f'no model is in {recipe.serving_directory}')
    reasons += _describe_removed(removed)
    return Decision(
        train=images >= minimum or too_old or missing,
        reason='; '.join(reasons),
        spans=tuple(span.number for span in window),
        new=tuple(span.number for span in new),
        removed=removed,
    )


def describe_waiting(span: int, error: TooFewImages) -> str:
    """The reason of a tick that does not train because its newest span lacks images."""
    return f'nothing new: span {span} waits for more images: {error}'


def _removed_spans(recipe: Recipe, provenance: Provenance) -> tuple[int, ...]:
    """Spans of the live model, and of those that it started from, that do not exist any more."""
    versions, existing = versions_in(recipe.serving_directory), span_numbers(recipe.data)
    live = provenance.model_of(versions[-1]) if versions and existing else None
    if live is None:
        return ()
    lineage = lineage_of(provenance, live, recipe.serving_directory)
    used = {number for model in (lineage.model, *lineage.parents) for number in model.spans}
    return tuple(sorted(used - existing))


def _describe_removed(removed: Sequence[int]) -> list[str]:
    verb = 'was' if len(removed) == 1 else 'were'
    return [f'the live model was trained on {named(removed)}, which {verb} removed'] * bool(removed)


def _uses(provenance: Provenance) -> Uses:
    """The last use of each span by a candidate, unless its push was interrupted."""
    pushed = provenance.pushed()
    uses: dict[tuple[int, str], datetime.datetime] = {}
    for gate in provenance.gate_decisions():
        model = gate.input('model')
        rejected = decision_of(gate.output(BLESSING)) is False
        if rejected or (model is not None and model.id in pushed):
            uses |= dict.fromkeys(provenance.training_spans(model).items(), gate.ended)
    return uses


def _describe_used(fingerprints: Mapping[int, str], uses: Uses) -> str:
    last = max(uses[each] for each in fingerprints.items())
    verb = 'was' if len(fingerprints) == 1 else 'were'
    return f'nothing new: {named([*fingerprints])} {verb} used by the run of {time_of(last)}'


def _describe_new(new: Sequence[Span], uses: Uses) -> str:
    known = {number for number, _ in uses}
    changed = [span.number for span in new if span.number in known]
    unused = [span.number for span in new if span.number not in known]
    clauses = []
    if unused:
        clauses.append(f'{named(unused)} {"is" if len(unused) == 1 else "are"} new')
    if changed:
        clauses.append(f'{named(changed)} {"has" if len(changed) == 1 else "have"} changed')
    images = sum(span.source.count for span in new)
    return f'{"; ".join(clauses)} ({images} image{"s" * (images != 1)})'


def _age(
    limit: float | None,
    live_since: datetime.datetime | None,
    last_candidate: datetime.datetime,
    now: datetime.datetime,
) -> tuple[bool, str]:
    """Whether the live model's age is a reason to train, and a clause with the age."""
    if live_since is None:
        return False, 'no model is live'
    day = datetime.timedelta(days=1)
    age, since_candidate = (now - live_since) / day, abs(now - last_candidate) / day
    text = f'the live model is {age:.1f} days old'
    if age < 0:  # the clock was ahead; the true age is not known
        age = -age
        text = f'the live model was pushed {age:.1f} days in the future'
    if limit is None or age <= limit:
        return False, text
    text += f' (limit {limit:g})'
    if since_candidate <= limit:
        return False, f'{text}, but a candidate was evaluated {since_candidate:.1f} days ago'
    return True, text
