"""Pusher component: TFX's Pusher with atomic pushes, metadata and extra files per version."""

from pathlib import Path
from typing import List  # noqa: UP035  # TFX requires List

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import Artifact, standard_artifacts

from common.artifacts import SERVED, folder_of
from common.blessing import is_blessed
from common.errors import PushError
from common.features import SPAN
from common.manual_override import read_override
from common.metadata_queries import custom_property, set_custom_properties
from common.mirror import uri_of
from components.conversion.conversion_results import RESULT_FILE, ConversionResult
from components.conversion.converter import ConvertedModels
from components.evaluation.gate.component import GateDecisions
from components.evaluation.gate.decision import DECISION_FILE, GateDecision
from components.evaluation.metrics.evaluation_files import read_accuracy
from components.pusher.reference import find_reference
from components.pusher.serving_folder import About, holds
from components.pusher.versions import Pushed, push


@component
def Pusher(
    model: InputArtifact[standard_artifacts.Model],
    model_blessing: InputArtifact[standard_artifacts.ModelBlessing],
    examples: InputArtifact[List[standard_artifacts.Examples]],  # noqa: UP006  # TFX requires List
    evaluation: InputArtifact[standard_artifacts.ModelEvaluation],
    gate_decision: InputArtifact[GateDecisions],
    recipe: Parameter[str],
    serving: Parameter[str],
    keep: Parameter[int],
    bucket: Parameter[str],
    created: Parameter[str],  # part of the cache key
    pushed_model: OutputArtifact[standard_artifacts.PushedModel],
    reference_model: InputArtifact[standard_artifacts.Model] = None,
    converted_models: InputArtifact[ConvertedModels] = None,
) -> None:
    """Pushes a blessed model to the serving directory, unless it is already live.

    If the live version is this model, it is recorded as pushed. So the next run records the push of
    a run that was killed before it could do so. A candidate that was compared with another model
    than the present one is not pushed.

    Args:
        model: output of the Trainer.
        model_blessing: output of ModelGate; a manual override has precedence.
        examples: training data; its spans are stored with the version.
        evaluation: its accuracy is stored with the version.
        gate_decision: output of ModelGate. The version is the reference of later candidates if its
            metric was higher than that of `reference_model`, else this stays the reference.
        recipe: name of the recipe, stored with the version.
        serving: serving directory, watched by a model server.
        keep: number of versions to keep.
        bucket: URL of a prefix in object storage that gets the same versions; empty for none.
        created: time when the pipeline was built; disables the cache, because the serving
            directory changes outside of TFX.
        pushed_model: has the custom properties of TFX's Pusher, and `unchanged` if the model was
            already live, but no copy of the model.
        reference_model: the model that the candidate was compared with, if any.
        converted_models: models in other formats; those that are accurate enough are pushed too.

    Raises:
        PushError: the serving directory or the bucket is not writable, or another version went
            live after the comparison; the live version is unchanged.
    """
    candidate = folder_of(model.uri) / SERVED
    if not is_blessed(model.mlmd_artifact, model_blessing.mlmd_artifact):
        pushed_model.set_int_custom_property('pushed', 0)
        return
    is_overridden = read_override(folder_of(model.uri)) is not None
    file = folder_of(gate_decision.uri) / DECISION_FILE
    decision = GateDecision.model_validate_json(file.read_bytes())
    reference = None
    if not is_overridden and not decision.is_new_reference:
        reference = find_reference(folder_of(serving), candidate)
    spans = {custom_property(each.mlmd_artifact, SPAN) for each in examples} - {None}
    about = About(
        recipe=recipe,
        model=uri_of(model.uri),
        accuracy=read_accuracy(folder_of(evaluation.uri)),
        spans=tuple(sorted(spans)),
        reference=int(reference.name) if reference else None,
    )

    def check() -> None:
        if not is_overridden:
            _check_reference(candidate, folder_of(serving), reference_model)

    pushed = push(
        candidate,
        folder_of(serving),
        keep=keep,
        about=about,
        extra_files=_converted(converted_models),
        bucket=folder_of(bucket) if bucket else None,
        check=check,
    )
    _record(pushed_model, pushed)


def _record(pushed_model: Artifact, pushed: Pushed) -> None:
    """Stores the custom properties of TFX's Pusher, and whether the model was already live."""
    values: dict[str, str | int] = {
        'pushed': 1,
        'pushed_destination': str(pushed.folder),
        'pushed_version': pushed.folder.name,
        'unchanged': int(pushed.unchanged),
    }
    set_custom_properties(pushed_model.mlmd_artifact, values)


def _check_reference(candidate: Path, serving: Path, reference: Artifact | None) -> None:
    """Raises PushError unless the candidate would be compared with the same model now."""
    version = find_reference(serving, candidate)
    if version is None or (reference and holds(version, folder_of(reference.uri) / SERVED)):
        return
    error = PushError(
        f'version {version.name} went live while this model was compared with '
        f'{"another one" if reference else "none"}; nothing is pushed: run the recipe again'
    )
    error.retryable = False  # another push of this run meets the same versions
    raise error


def _converted(artifact: Artifact | None) -> dict[str, Path]:
    """Models to push, without the result: its timings would make every version unique."""
    if artifact is None:
        return {}
    folder = folder_of(artifact.uri)
    result = ConversionResult.model_validate_json((folder / RESULT_FILE).read_bytes())
    return {name: folder / name for name in result.pushed}
