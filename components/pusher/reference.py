"""The version in the serving folder that a candidate is compared with, and warm-started from."""

from pathlib import Path
from typing import NamedTuple

from common.errors import ModelError
from common.storage import fetch
from components.image_example_gen.sources.base.labels import describe_classes
from components.inference.model_folder import read_classes
from components.pusher.model_compatibility import why_unusable
from components.pusher.serving_folder import holds, override_of, versions_in


class Reference(NamedTuple):
    """A version, and why higher ones are not the reference, a clause each."""

    version: Path | None
    skipped: tuple[str, ...]


def find_reference(serving: Path, candidate: Path | None = None) -> Reference:
    """Finds the highest version that holds another model than the candidate.

    `candidate` is the folder of a SavedModel. Without the exception for the candidate, a repeated
    run would compare it with itself.

    - A version whose blessing was withdrawn is skipped, and one with missing or damaged files.
    - If classes or their order differ from the candidate's, there is no reference, because the
      accuracies are not comparable.

    Raises:
        ModelError: a manual override is damaged.
    """
    skipped: list[str] = []
    for version in reversed(versions_in(serving)):
        fetch(version)
        if candidate and holds(version, candidate):
            continue
        override = override_of(version)
        if override and not override.blessed:
            continue
        if reason := why_unusable(version):
            skipped.append(f'version {version.name} is not used: {reason}')
            continue
        if candidate and (difference := _other_classes(version, candidate)):
            skipped.append(f'not compared with version {version.name}: {difference}')
            break
        return Reference(version, tuple(skipped))
    return Reference(None, tuple(skipped))


def _other_classes(version: Path, candidate: Path) -> str | None:
    """How the classes of two models differ; None if they do not, or a model has no list of them."""
    try:
        before, now = read_classes(version), read_classes(candidate)
    except ModelError:  # of another pipeline
        return None
    if before == now:
        return None
    return f'it has {describe_classes(before)}, the new model {describe_classes(now)}'
