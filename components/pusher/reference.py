"""The version in the serving folder that a candidate is compared with, and warm-started from."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from common.errors import ModelError
from common.features import SIGNATURE_EXAMPLES
from common.mirror import uri_of
from common.storage import fetch
from components.image_example_gen.sources.base.labels import describe_classes
from components.inference.model_folder import read_classes
from components.pusher.serving_folder import holds, override_of, reference_of, versions_in


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

    - A version whose blessing was withdrawn is not used, as by a rollback from it, and one with
      missing or damaged files.
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
        reason = why_unusable(version)
        if reason:
            skipped.append(f'version {version.name} is not used: {reason}')
        return reason is None

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


def why_unusable(folder: Path) -> str | None:
    """Why the SavedModel in a folder is unusable; None if it is usable.

    Loading the model and one prediction take more than a second per run. This checks the files
    instead: the graph is readable and has the signature; the checksums of the weights are correct
    and no weight is NaN or infinite.
    """
    try:
        contents = (folder / 'saved_model.pb').read_bytes()
        graphs = saved_model_pb2.SavedModel.FromString(contents).meta_graphs
        weights = tf.train.load_checkpoint(str(folder / 'variables' / 'variables'))
        types = weights.get_variable_to_dtype_map()
        finite = all(
            np.isfinite(weights.get_tensor(name)).all()
            for name, kind in types.items()
            if kind.is_floating
        )
    except (
        OSError,
        DecodeError,
        tf.errors.OpError,
        LookupError,
        ValueError,
        RuntimeError,
    ) as error:
        reason = str(getattr(error, 'message', error)).partition('\n')[0]
        return f'the model in {uri_of(folder)} is missing or damaged ({reason})'
    if not any(SIGNATURE_EXAMPLES in graph.signature_def for graph in graphs):
        return f'the model in {uri_of(folder)} has no signature {SIGNATURE_EXAMPLES}'
    return None if finite else f'weights in {uri_of(folder)} are NaN or infinite'
