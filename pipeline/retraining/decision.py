"""Decides whether to train, from the recipe, the data and ML Metadata. Imports no TensorFlow."""

import dataclasses
import datetime
from collections.abc import Sequence

from ml_metadata import MetadataStore

from components.image_example_gen.sources.spans import Span, open_window
from components.pusher.serving_folder import versions_in
from pipeline.config.recipe import Recipe
from pipeline.config.retraining import RetrainConfig
from pipeline.formatting import named, time_of
from pipeline.retraining.used_spans import Candidate, History, read_history


@dataclasses.dataclass(frozen=True)
class Decision:
    """Whether to train, and why.

    Attributes:
        train: True if there is a reason to train.
        reason: one sentence without a full stop.
        spans: numbers of the spans in the window, oldest first.
        new: numbers of the spans in the window that no run has used in their current state.
    """

    train: bool
    reason: str
    spans: tuple[int, ...] = ()
    new: tuple[int, ...] = ()


def decide(recipe: Recipe, store: MetadataStore, now: datetime.datetime) -> Decision:
    """Decides by new images, the age of the live model and the serving directory.

    Args:
        recipe: uses `data`, `retrain`, the serving directory, and `name` to find the history.
        store: ML Metadata of all runs.
        now: current time with a time zone.

    Raises:
        DataError: the images cannot be used.
    """
    window = open_window(recipe.data)
    history = read_history(store, recipe.name)
    decision = _decide(recipe.retrain, window, history, now)
    if history.live and not decision.train and not versions_in(recipe.serving_directory):
        gone = f'version {history.live.version} is missing from {recipe.serving_directory}'
        return dataclasses.replace(decision, train=True, reason=f'{gone}; {decision.reason}')
    return decision


def _decide(
    config: RetrainConfig, window: Sequence[Span], history: History, now: datetime.datetime
) -> Decision:
    """Decides by new images and the age of the live model; reads neither files nor metadata."""
    spans = tuple(span.number for span in window)
    new = [span for span in window if not history.use_of(span.number, span.source.fingerprint)]
    too_old, age = _age(config, history, now)
    if not new:
        return _without_new_spans(window, history, too_old, age)
    images = sum(span.source.count for span in new)
    reason = _describe_new(new, images, history)
    train = images >= config.min_new_images or too_old
    if not train:
        reason += f'; waiting for {config.min_new_images} (min_new_images)'
    elif images < config.min_new_images:
        reason += f', fewer than {config.min_new_images} (min_new_images), but {age}'
    return Decision(train, reason, spans, tuple(span.number for span in new))


def _without_new_spans(
    window: Sequence[Span], history: History, too_old: bool, age: str
) -> Decision:
    spans = tuple(span.number for span in window)
    last = history.use_of(window[-1].number, window[-1].source.fingerprint)
    assert last is not None  # otherwise the span would be new
    verb = 'was' if len(spans) == 1 else 'were'
    used = f'{named(spans)} {verb} used by the run of {time_of(last.ended)}'
    if too_old:
        return Decision(True, f'{age}; {used}', spans)
    return Decision(False, f'nothing new: {used}; {age}', spans)


def _describe_new(new: Sequence[Span], images: int, history: History) -> str:
    """Lists the new spans by kind: never used, changed since, or blessed but not pushed."""
    unused, clauses = [], []
    for span in new:
        previous = history.use_of(span.number)
        interrupted = _interrupted_push(span, history)
        if interrupted:
            clauses.append(
                f'the run of {time_of(interrupted.ended)} trained on span {span.number}; '
                'its model was blessed but not pushed'
            )
        elif previous:
            clauses.append(
                f'span {span.number} has changed since the run of {time_of(previous.ended)} used it'
            )
        else:
            unused.append(span.number)
    if unused:
        clauses.insert(0, f'{named(unused)} {"is" if len(unused) == 1 else "are"} new')
    return f'{"; ".join(clauses)} ({images} image{"s" * (images != 1)})'


def _interrupted_push(span: Span, history: History) -> Candidate | None:
    """The last candidate, if it was trained on this span, blessed, and not pushed."""
    for last in history.candidates[-1:]:
        if not last.finished and last.spans.get(span.number) == span.source.fingerprint:
            return last
    return None


def _age(config: RetrainConfig, history: History, now: datetime.datetime) -> tuple[bool, str]:
    """Whether the live model's age is a reason to train, and a clause with the age."""
    if history.live is None:
        return False, 'no model is live: no candidate was blessed'
    age = _days(history.live.since, now)
    text = f'the live model is {age:.1f} days old'
    limit = config.max_age_days
    if limit is None or age <= limit:
        return False, text
    text += f' (limit {limit:g})'
    for last in history.candidates[-1:]:
        since_last = _days(last.ended, now)
        if since_last <= limit:
            result = 'blessed' if last.blessed else 'not blessed'
            return False, f'{text}, but a candidate was {result} {since_last:.1f} days ago'
    return True, text


def _days(since: datetime.datetime, now: datetime.datetime) -> float:
    return (now - since).total_seconds() / 86400
