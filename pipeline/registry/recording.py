"""Records pushes and manual overrides in ML Metadata outside of a run. Imports no TFX."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ml_metadata import MetadataStore, errors
from ml_metadata.proto.metadata_store_pb2 import (
    Artifact,
    ArtifactType,
    Event,
    Execution,
    ExecutionType,
)

from common.artifacts import folder_of
from common.blessing import ManualOverride, model_id_of, record_override, write_override
from common.metadata_queries import set_custom_properties
from components.pusher.serving_folder import (
    PUSHED_BY_BLESS,
    PUSHED_BY_ROLLBACK,
    About,
    Note,
    read_note,
    versions_in,
)
from pipeline.config.recipe import Recipe
from pipeline.registry.provenance import ADOPT, BLESS, ROLLBACK, Provenance, destination_of

_PUSHED, _BLESSING = 'PushedModel', 'ModelBlessing'
# Property of a rollback: the model that lost its blessing. As an input artifact it would count as
# the model that was pushed.
WITHDRAWN = 'withdrawn_id'
_KINDS = {PUSHED_BY_ROLLBACK: ROLLBACK, PUSHED_BY_BLESS: BLESS, None: ADOPT}


def apply_override(
    store: MetadataStore, model: Artifact, override: ManualOverride
) -> list[Artifact]:
    """Writes a manual override to the model's folder and to its blessings.

    Args:
        store: ML Metadata.
        model: of the Trainer.
        override: the decision.

    Returns:
        The changed blessings of the model: the last one, or all of them for a withdrawal.

    Raises:
        OSError: a folder cannot be written.
    """
    write_override(folder_of(model.uri), override)
    blessings = blessings_of(store, model.id)
    changed = blessings[-1:] if override.blessed else blessings
    for blessing in changed:
        record_override(blessing, override)
    if changed:
        store.put_artifacts(changed)
    return changed


def blessings_of(store: MetadataStore, model: int) -> list[Artifact]:
    """The blessings of a model, by its artifact id, oldest first."""
    found = [each for each in store.get_artifacts_by_type(_BLESSING) if model_id_of(each) == model]
    return sorted(found, key=lambda each: each.id)


def record_missing_pushes(recipe: Recipe, store: MetadataStore) -> None:
    """Records versions that this recipe pushed and that are not in the metadata.

    The process was killed between push and recording. The note in the version has all that is
    needed.
    """
    recorded = {destination_of(each) for each in Provenance(store, recipe.name).pushed()}
    for version in versions_in(recipe.serving_directory):
        note = read_note(version)
        if note and str(version) not in recorded and note.about.recipe == recipe.name:
            record_push(store, recipe.name, version)


def record_push(store: MetadataStore, pipeline: str, version: Path) -> None:
    """Records a push from the note in the version.

    For a rollback, this withdraws the blessing of the model that was live before.
    """
    note = read_note(version)
    assert note is not None  # written by the push
    about = note.about
    model = model_in(store, about)
    if model is None and about.manual_override is None:
        return  # pushed with other metadata: there is no model to connect it to
    values = {'person': about.person, 'reason': about.reason, 'version': about.version}
    properties = {key: value for key, value in values.items() if value is not None}
    inputs = (
        {'model': [model], 'model_blessing': blessings_of(store, model.id)[-1:]} if model else {}
    )
    record(
        store,
        pipeline,
        _KINDS[about.manual_override],
        inputs,
        outputs={'pushed_model': [_pushed_model(store, version)]},
        values={**properties, **_withdraw(store, note)},
        run=about.run if about.manual_override is None else None,  # an override belongs to no run
    )


def model_in(store: MetadataStore, about: About) -> Artifact | None:
    """The model of a version; None if the version was pushed with other metadata."""
    return _artifact_at(store, about.model_id, about.model)


def record(
    store: MetadataStore,
    pipeline: str,
    kind: str,
    inputs: Mapping[str, Iterable[Artifact]],
    outputs: Mapping[str, Iterable[Artifact]],
    values: Mapping[str, str | int],
    run: str | None = None,
) -> None:
    """Records a complete execution of type `catdog.KIND` in the context of a pipeline."""
    type_id = store.put_execution_type(ExecutionType(name=f'catdog.{kind}'))
    execution = Execution(type_id=type_id, last_known_state=Execution.COMPLETE)
    set_custom_properties(execution, values)
    contexts = [store.get_context_by_type_and_name('pipeline', pipeline)]
    if run:
        contexts.append(store.get_context_by_type_and_name('pipeline_run', run))
    pairs = [*_with_events(inputs, Event.INPUT), *_with_events(outputs, Event.OUTPUT)]
    store.put_execution(execution, pairs, [each for each in contexts if each])


def _withdraw(store: MetadataStore, note: Note) -> dict[str, int]:
    """Withdraws the blessing of the model that a rollback replaced; returns its id."""
    about = note.about
    model = _artifact_at(store, about.withdrawn_id, about.withdrawn)
    if model is None:
        return {}
    override = ManualOverride(
        blessed=False, person=about.person or '', reason=about.reason or '', moment=note.pushed
    )
    apply_override(store, model, override)
    return {WITHDRAWN: model.id}


def _artifact_at(store: MetadataStore, key: int | None, uri: str | None) -> Artifact | None:
    """An artifact by id; None if its URI differs, as ids of other metadata may collide."""
    found = store.get_artifacts_by_id([key]) if key is not None else ()
    return next((each for each in found if each.uri == uri), None)


def _pushed_model(store: MetadataStore, folder: Path) -> Artifact:
    try:
        type_id = store.get_artifact_type(_PUSHED).id
    except errors.NotFoundError:  # first push
        kind = ArtifactType(name=_PUSHED, base_type=ArtifactType.MODEL)
        type_id = store.put_artifact_type(kind)
    artifact = Artifact(type_id=type_id, uri=str(folder), state=Artifact.LIVE)
    set_custom_properties(
        artifact,
        {
            'pushed': 1,
            'pushed_destination': str(folder),
            'pushed_version': folder.name,
            'unchanged': 0,
        },
    )
    return artifact


def _with_events(
    artifacts: Mapping[str, Iterable[Artifact]], kind: int
) -> Iterator[tuple[Artifact, Event]]:
    for key, each in artifacts.items():
        for index, artifact in enumerate(each):
            event = Event(type=kind)
            event.path.steps.add().key = key
            event.path.steps.add().index = index
            yield artifact, event
