"""Writes into ML Metadata what did not come from a component. Imports no TFX."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_metadata import MetadataStore, errors
from ml_metadata.proto import metadata_store_pb2
from ml_metadata.proto.metadata_store_pb2 import Artifact, Event, Execution

from common.artifacts import folder_of
from common.blessing import Judgement, write_judgement
from common.metadata_queries import custom_property
from components.pusher.serving_folder import BLESS as BLESSED_BY_HAND
from components.pusher.serving_folder import ROLLBACK as ROLLED_BACK
from components.pusher.serving_folder import About, Note, read_note, versions_in
from pipeline.config.recipe import Recipe
from pipeline.registry.provenance import ADOPT, BLESS, ROLLBACK, Provenance, destination_of

_PUSHED, _BLESSING = 'PushedModel', 'ModelBlessing'
_BLESSED_FILE, _NOT_BLESSED_FILE = 'BLESSED', 'NOT_BLESSED'  # as TFX has them
BY_HAND = 'by_hand'  # custom property of a blessing: 1 if it says what a person says
# Of a rollback: the model that lost its blessing. As an input it would count as what was pushed.
WITHDRAWN = 'withdrawn_id'
_KINDS = {ROLLED_BACK: ROLLBACK, BLESSED_BY_HAND: BLESS, None: ADOPT}


def judge(store: MetadataStore, model: Artifact, judgement: Judgement) -> list[Artifact]:
    """Makes a person's word the last one on a model, for all that asks for blessed models.

    Args:
        store: ML Metadata.
        model: of a Trainer.
        judgement: what the person says.

    Returns:
        Its blessings that are changed by that: the last one, or when they are withdrawn, all.

    Raises:
        OSError: a folder cannot be written.
    """
    write_judgement(folder_of(model.uri), judgement)
    blessings = blessings_of(store, model.id)
    changed = blessings[-1:] if judgement.blessed else blessings
    for blessing in changed:
        values = blessing.custom_properties
        values['blessed'].int_value = int(judgement.blessed)
        values[BY_HAND].int_value = 1
        values['person'].string_value = judgement.person
        values['reason'].string_value = judgement.reason
        _mark(blessing, judgement.blessed)
    if changed:
        store.put_artifacts(changed)
    return changed


def blessings_of(store: MetadataStore, model: int) -> list[Artifact]:
    """What was said of a model, by whichever component, oldest first."""
    found = [
        each
        for each in store.get_artifacts_by_type(_BLESSING)
        if custom_property(each, 'current_model_id') == model
    ]
    return sorted(found, key=lambda each: each.id)


def note_pushes(recipe: Recipe, store: MetadataStore) -> None:
    """Notes the versions that came from here and that the metadata knows nothing of.

    Whoever pushed them was killed between the push and the note. The file beside the model says
    where it comes from, so nothing is to be undone.
    """
    noted = {destination_of(each) for each in Provenance(store, recipe.name).pushed()}
    for version in versions_in(recipe.serving_directory):
        note = read_note(version)
        if note and str(version) not in noted and note.about.recipe == recipe.name:
            note_push(store, recipe.name, version)


def note_push(store: MetadataStore, pipeline: str, version: Path) -> None:
    """Notes one version as it says, and withdraws what it took the place of, if it says so."""
    note = read_note(version)
    assert note is not None  # it came from here
    about = note.about
    model = model_in(store, about)
    if model is None and about.by_hand is None:
        return  # of another store: nothing can be tied to it
    values = {**_said(about), **_withdraw(store, note)}
    inputs = (
        {'model': [model], 'model_blessing': blessings_of(store, model.id)[-1:]} if model else {}
    )
    outputs = {'pushed_model': [_pushed_model(store, version)]}
    run = about.run if about.by_hand is None else None  # else no run has done it
    record(store, pipeline, _KINDS[about.by_hand], inputs, outputs, values, run)


def model_in(store: MetadataStore, about: About) -> Artifact | None:
    """The model of a version; None if the store is not the one that it was noted from."""
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
    """Writes an execution `catdog.KIND`, as if a component of the pipeline had come to its end."""
    type_id = store.put_execution_type(metadata_store_pb2.ExecutionType(name=f'catdog.{kind}'))
    execution = Execution(type_id=type_id, last_known_state=Execution.COMPLETE)
    _set(execution.custom_properties, values)
    contexts = [store.get_context_by_type_and_name('pipeline', pipeline)]
    if run:
        contexts.append(store.get_context_by_type_and_name('pipeline_run', run))
    pairs = [*_pairs(inputs, Event.INPUT), *_pairs(outputs, Event.OUTPUT)]
    store.put_execution(execution, pairs, [each for each in contexts if each])


def _withdraw(store: MetadataStore, note: Note) -> dict[str, int]:
    """Withdraws the blessing of the model that a rollback took the place of; gives its id."""
    about = note.about
    model = _artifact_at(store, about.withdrawn_id, about.withdrawn)
    if model is None:
        return {}
    said = Judgement(
        blessed=False, person=about.person or '', reason=about.reason or '', moment=note.pushed
    )
    judge(store, model, said)
    return {WITHDRAWN: model.id}


def _artifact_at(store: MetadataStore, key: int | None, uri: str | None) -> Artifact | None:
    """An artifact, if it lies where it was noted: another store may have the number for another."""
    found = store.get_artifacts_by_id([key]) if key is not None else ()
    return next((each for each in found if each.uri == uri), None)


def _pushed_model(store: MetadataStore, folder: Path) -> Artifact:
    try:
        type_id = store.get_artifact_type(_PUSHED).id
    except errors.NotFoundError:  # nothing was pushed before
        kind = metadata_store_pb2.ArtifactType(
            name=_PUSHED, base_type=metadata_store_pb2.ArtifactType.MODEL
        )
        type_id = store.put_artifact_type(kind)
    artifact = Artifact(type_id=type_id, uri=str(folder), state=Artifact.LIVE)
    _set(
        artifact.custom_properties,
        {
            'pushed': 1,
            'pushed_destination': str(folder),
            'pushed_version': folder.name,
            'unchanged': 0,
        },
    )
    return artifact


def _said(about: About) -> dict[str, str | int]:
    values = {'person': about.person, 'reason': about.reason, 'version': about.version}
    return {key: value for key, value in values.items() if value is not None}


def _mark(blessing: Artifact, blessed: bool) -> None:
    """The file that says the same in the folder, where that is still there."""
    folder = folder_of(blessing.uri)
    if folder.is_dir():
        wrong, right = (
            (_NOT_BLESSED_FILE, _BLESSED_FILE) if blessed else (_BLESSED_FILE, _NOT_BLESSED_FILE)
        )
        (folder / right).touch()
        (folder / wrong).unlink(missing_ok=True)


def _pairs(
    artifacts: Mapping[str, Iterable[Artifact]], kind: int
) -> Iterator[tuple[Artifact, Event]]:
    for key, each in artifacts.items():
        for index, artifact in enumerate(each):
            event = Event(type=kind)
            event.path.steps.add().key = key
            event.path.steps.add().index = index
            yield artifact, event


def _set(properties: Any, values: Mapping[str, str | int]) -> None:
    for key, value in values.items():
        if isinstance(value, int):
            properties[key].int_value = value
        else:
            properties[key].string_value = value
