"""The version in the serving folder that a candidate is compared with, and warm-started from."""

from pathlib import Path
from typing import NamedTuple

from common.errors import ModelError
from common.storage import fetch
from components.image_example_gen.sources.base.labels import describe_classes
from components.inference.model_folder import read_classes
from components.pusher.serving_folder import (
    holds,
    is_complete,
    override_of,
    reference_of,
    versions_in,
)


class Reference(NamedTuple):
    """A version, and why higher ones are not the reference, a clause each."""

    version: Path | None
    skipped: tuple[str, ...]


def find_reference(serving: Path, candidate: Path | None = None) -> Reference:
    """Finds the reference model of a candidate; without one, the live model.

    The live model is that of the highest version that holds another model than the candidate, the
    folder of a SavedModel. Without this exception, a repeated run would compare it with itself. The
    reference is the version that the note of the live one names, and the live one itself if that
    version is not usable any more.

    - A version whose blessing was withdrawn is not used, as by a rollback from it, and one without
      a graph or weights.
    - If classes or their order differ from the candidate's, there is no reference, because the
      accuracies are not comparable.

    Raises:
        ModelError: a manual override or a note is damaged.
    """
    skipped: list[str] = []

    def is_used(version: Path) -> bool:
        fetch(version)
        override = override_of(version)
        if (candidate and holds(version, candidate)) or (override and not override.blessed):
            return False
        if not is_complete(version):
            skipped.append(f'version {version.name} is not used: its graph or weights are missing')
            return False
        return True

    live = next(filter(is_used, reversed(versions_in(serving))), None)
    if live is None or candidate is None:
        return Reference(live, tuple(skipped))
    if difference := _other_classes(live, candidate):
        skipped.append(f'not compared with version {live.name}: {difference}')
        return Reference(None, tuple(skipped))
    named = reference_of(live)
    if named and is_used(named) and not _other_classes(named, candidate):
        return Reference(named, tuple(skipped))
    return Reference(live, tuple(skipped))


def _other_classes(version: Path, candidate: Path) -> str | None:
    """How the classes of two models differ; None if they do not, or a model has no list of them."""
    try:
        before, now = read_classes(version), read_classes(candidate)
    except ModelError:  # of another pipeline
        return None
    if before == now:
        return None
    return f'it has {describe_classes(before)}, the new model {describe_classes(now)}'
