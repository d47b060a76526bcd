"""The version in the serving folder that a candidate is compared with, and warm-started from."""

from collections.abc import Callable
from pathlib import Path

from common.errors import ModelError
from components.image_example_gen.sources.base.labels import describe_classes
from components.inference.model_folder import read_classes
from components.pusher.serving_folder import (
    holds,
    is_complete,
    override_of,
    reference_of,
    versions_in,
)


def find_reference(
    serving: Path,
    candidate: Path | None = None,
    *,
    warn: Callable[[str], None] = lambda _: None,
) -> Path | None:
    """Finds the version with the reference model of a candidate; without one, the live version.

    The live version is the highest one that holds another model than the candidate, the folder of a
    SavedModel. Without this exception, a repeated run would compare it with itself. The reference
    is the version that the note of the live one names, and the live one itself if that version is
    not usable any more. `warn` gets the reason why a higher version is not used, a clause.

    - A version whose blessing was withdrawn is not used, as by a rollback from it, and one without
      a graph or weights.
    - If classes or their order differ from the candidate's, there is no reference, because the
      accuracies are not comparable.

    Raises:
        ModelError: a manual override or a note is damaged.
    """

    def is_used(version: Path) -> bool:
        override = override_of(version)
        if (candidate and holds(version, candidate)) or (override and not override.blessed):
            return False
        if not is_complete(version):
            warn(f'version {version.name} is not used: its graph or weights are missing')
            return False
        return True

    live = next(filter(is_used, reversed(versions_in(serving))), None)
    if live is None or candidate is None:
        return live
    if difference := _other_classes(live, candidate):
        warn(f'not compared with version {live.name}: {difference}')
        return None
    named = reference_of(live)
    if named and is_used(named) and not _other_classes(named, candidate):
        return named
    return live


def _other_classes(version: Path, candidate: Path) -> str | None:
    """How the classes of two models differ; None if they do not, or a model has no list of them."""
    try:
        before, now = read_classes(version), read_classes(candidate)
    except ModelError:  # of another pipeline
        return None
    if before == now:
        return None
    return f'it has {describe_classes(before)}, the new model {describe_classes(now)}'
