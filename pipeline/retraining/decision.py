"""Is there a reason to train? Needs the recipe, the data and ML Metadata; imports no TensorFlow."""

import dataclasses
import datetime
from collections.abc import Sequence
from pathlib import Path

from ml_metadata import MetadataStore

from components.image_example_gen.sources.base.config import DataConfig
from components.image_example_gen.sources.spans import Span, open_window
from components.pusher.serving_folder import versions_in
from pipeline.config.recipe import Recipe
from pipeline.config.retraining import RetrainConfig
from pipeline.formatting import named, time_of
from pipeline.retraining.drift import drift, pooled
from pipeline.retraining.summaries import Summaries
from pipeline.retraining.used_spans import Candidate, History, read_history


@dataclasses.dataclass(frozen=True)
class Decision:
    """Whether to train, and why.

    Attributes:
        train: whether to.
        reason: one sentence, without a full stop.
        spans: numbers of the spans in the window, oldest first.
        new: those of them that no run has used as they are.
    """

    train: bool
    reason: str
    spans: tuple[int, ...] = ()
    new: tuple[int, ...] = ()


def decide(
    recipe: Recipe, store: MetadataStore, now: datetime.datetime, kept: Path | None = None
) -> Decision:
    """Looks for a reason to train.

    Args:
        recipe: `data` says where spans are, `retrain` what counts; the history is that of `name`.
        store: ML Metadata of all runs.
        now: with a time zone; for the age of the live model.
        kept: a file with summaries of spans for the drift; None: those that have left the folder
            are not compared with.

    Raises:
        DataError: the images cannot be used.
    """
    window = open_window(recipe.data)
    history = read_history(store, recipe.name)
    limit = recipe.retrain.drift_threshold
    moved = () if limit is None else _drift(recipe.data, limit, window, history, Summaries(kept))
    found = judge(recipe.retrain, window, history, moved, now)
    if history.live and not found.train and not versions_in(recipe.serving_directory):
        gone = f'version {history.live.version} is gone from {recipe.serving_directory}'
        return dataclasses.replace(found, train=True, reason=f'{gone}; {found.reason}')
    return found


def judge(
    config: RetrainConfig,
    window: Sequence[Span],
    history: History,
    moved: Sequence[str],
    now: datetime.datetime,
) -> Decision:
    """The same from what is known already; `moved` says how the newest span drifted, if it did."""
    new = [span for span in window if not history.use_of(span.number, span.source.fingerprint)]
    spans = tuple(span.number for span in window)
    if not new:
        train, reason = _without_news(config, spans, window, history, moved, now)
        return Decision(train, reason, spans)
    images = sum(span.source.count for span in new)
    reason = '; '.join([_news(new, images, history), *moved])
    # Only the newest span is compared; if it is not new, its drift is no news either.
    drifted = bool(moved) and new[-1] is window[-1]
    train = images >= config.min_new_images or drifted
    if not train:
        train, age = _age(
            config, history, now
        )  # else a trickle of images would put it off for ever
        if train:
            reason += f', fewer than {config.min_new_images} (min_new_images), but {age}'
        else:
            reason += f'; waiting for {config.min_new_images} (min_new_images)'
    return Decision(train, reason, spans, tuple(span.number for span in new))


def _news(new: Sequence[Span], images: int, history: History) -> str:
    """What is new, and in which way: never seen, changed, or used by a run that was cut off."""
    fresh, clauses = [], []
    for span in new:
        before = history.use_of(span.number)
        cut_off = _cut_off(span, history)
        if cut_off:
            clauses.append(
                f'the model that the run of {time_of(cut_off.ended)} made of span {span.number} '
                'was blessed but not pushed'
            )
        elif before:
            use = f'span {span.number} has changed since the run of {time_of(before.ended)} used it'
            clauses.append(use)
        else:
            fresh.append(span.number)
    if fresh:
        clauses.insert(0, f'{named(fresh)} {"is" if len(fresh) == 1 else "are"} new')
    return f'{"; ".join(clauses)} ({images} image{"s" * (images != 1)})'


def _cut_off(span: Span, history: History) -> Candidate | None:
    """The last candidate, if it was made of a span as it is and ended between blessing and push."""
    for last in history.candidates[-1:]:
        if not last.finished and last.spans.get(span.number) == span.source.fingerprint:
            return last
    return None


def _without_news(
    config: RetrainConfig,
    spans: Sequence[int],
    window: Sequence[Span],
    history: History,
    moved: Sequence[str],
    now: datetime.datetime,
) -> tuple[bool, str]:
    newest = window[-1]
    last = history.use_of(newest.number, newest.source.fingerprint)
    assert last is not None  # else it would be new
    used = 'was' if len(spans) == 1 else 'were'
    nothing = f'{named(spans)} {used} used by the run of {time_of(last.ended)}'
    if history.live is None:
        return False, f'nothing new: {nothing}; no model is live: none was good enough'
    too_old, live = _age(config, history, now)
    if too_old:
        return True, f'{live}; {nothing}'
    if moved:
        live += (
            f'; {"; ".join(moved)}, and the live model has seen none of it: '
            'the candidate that was trained on it was not good enough'
        )
    return False, f'nothing new: {nothing}; {live}'


def _age(config: RetrainConfig, history: History, now: datetime.datetime) -> tuple[bool, str]:
    """Whether the age of the live model is a reason to train, and how old it is."""
    if history.live is None:
        return False, 'no model is live'
    age = _days(history.live.since, now)
    live = f'the live model is {age:.1f} days old'
    limit = config.max_age_days
    if limit is None or age <= limit:
        return False, live
    live += f' (limit {limit:g})'
    for last in history.candidates[-1:]:
        since_last = _days(last.ended, now)
        if since_last <= limit:
            return False, f'{live}, but {_tried(last, since_last)}'
    return True, live


def _tried(candidate: Candidate, days: float) -> str:
    how = 'blessed' if candidate.blessed else 'not good enough'
    return f'a candidate was {how} {days:.1f} days ago'


def _days(since: datetime.datetime, now: datetime.datetime) -> float:
    return (now - since).total_seconds() / 86400


def _drift(
    config: DataConfig, limit: float, window: Sequence[Span], history: History, summaries: Summaries
) -> tuple[str, ...]:
    """How the newest span differs from what the live model was trained on."""
    looks = [summaries.of(span) for span in window]  # all: they may be gone when they are needed
    newest = window[-1]
    live = history.live.spans if history.live else {}
    if live.get(newest.number) == newest.source.fingerprint:
        return ()  # the live model has seen it
    before = [summaries.of_used(config, *span) for span in live.items()]
    known = [each for each in before if each is not None]
    return drift(newest.number, looks[-1], pooled(known), limit) if known else ()
