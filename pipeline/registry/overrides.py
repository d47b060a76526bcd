"""What a person does about models in place of a run, with a reason. Imports no TFX.

Each is written into the serving folder first and into ML Metadata after it. What is killed between
the two is completed by the next run or the next thing that a person does, from the note beside the
version.
"""

import datetime
import getpass
import os
from collections.abc import Iterable
from pathlib import Path

from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Artifact

from common.artifacts import SERVED, folder_of
from common.blessing import ManualOverride, withdrawal
from common.errors import ModelError, PushError
from components.evaluation.metrics.evaluation_files import read_accuracy
from components.pusher.model_files import files_of
from components.pusher.serving_folder import (
    PUSHED_BY_BLESS,
    PUSHED_BY_ROLLBACK,
    About,
    Note,
    read_note,
    versions_in,
)
from components.pusher.versions import EXTRA, Pushed, push, restore
from pipeline.config.recipe import Recipe
from pipeline.registry.provenance import (
    BLESS,
    EVALUATOR,
    TRAINER,
    UNBLESS,
    Provenance,
    destination_of,
)
from pipeline.registry.recording import (
    apply_override,
    blessings_of,
    model_in,
    note_push,
    note_pushes,
    record,
)

_NAMED = 10  # versions in an error


def rollback(recipe: Recipe, store: MetadataStore, version: str | None, reason: str) -> Pushed:
    """Makes an earlier version live again, and withdraws the blessing of the one that was.

    Args:
        recipe: whose.
        store: ML Metadata.
        version: its number; None: the newest one before the live one that is another model, and
            whose blessing was not withdrawn.
        reason: why.

    Returns:
        The new version, which is a copy of the earlier one.

    Raises:
        ModelError: there is no such version.
        PushError: the folder cannot be written.
    """
    provenance = _as_it_is(recipe, store)
    live = _version(recipe, None)
    wanted = _earlier(recipe, provenance, store) if version is None else _version(recipe, version)
    if wanted == live:
        raise ModelError(f'version {live.name} is live already')
    model, before = _model(provenance, store, wanted), _model(provenance, store, live)
    note = read_note(wanted)
    withdrawn = _withdrawn(model, note)
    if withdrawn:
        raise ModelError(
            f'version {wanted.name}: {withdrawn}; bless {wanted.name} --force makes it live'
        )
    taken_back = None if _id(before) == _id(model) else before
    about = (note.about if note else About()).model_copy(
        update={
            'recipe': recipe.name,
            'model_id': _id(model),
            **({'model': model.uri} if model else {}),
            'by_hand': PUSHED_BY_ROLLBACK,
            'person': person(),
            'reason': reason,
            'version': int(wanted.name),
            'withdrawn_id': _id(taken_back),
            'withdrawn': taken_back.uri if taken_back else None,
        }
    )
    pushed = restore(wanted, keep=recipe.push.keep, about=about)
    note_push(store, recipe.name, pushed.folder)
    return pushed


def bless(recipe: Recipe, store: MetadataStore, model: str | None, reason: str) -> Pushed:
    """Pushes a model whatever the gate says.

    Args:
        recipe: whose.
        store: ML Metadata.
        model: a version, or the folder of one or of a Trainer's model; None: the last candidate.
        reason: why.

    Raises:
        ModelError: there is no such model, or nothing has judged it.
        PushError: the folder cannot be written; the model is blessed, and the next run pushes it.
    """
    provenance = _as_it_is(recipe, store)
    found = _candidate(provenance) if model is None else _given(recipe, provenance, store, model)
    if not blessings_of(store, found.id):
        raise ModelError(f'the model in {found.uri} was never judged; run the recipe first')
    blessings = apply_override(store, found, _override(True, reason))
    about = _about(recipe, provenance, found, reason)
    folder = folder_of(found.uri) / SERVED
    beside = _beside(recipe, provenance, store, found)
    try:
        pushed = push(
            folder, recipe.serving_directory, keep=recipe.push.keep, about=about, extra_files=beside
        )
    except PushError as error:
        raise PushError(f'{error}; the model is blessed, and its run pushes it') from error
    if pushed.unchanged:
        inputs = {'model': [found], 'model_blessing': blessings}
        record(store, recipe.name, BLESS, inputs, {}, _why(reason, pushed.version))
    else:
        note_push(store, recipe.name, pushed.folder)
    return pushed


def unbless(
    recipe: Recipe, store: MetadataStore, version: str | None, reason: str
) -> tuple[Path, bool]:
    """Withdraws a blessing: the model is no baseline and no start for others any more.

    Args:
        recipe: whose.
        store: ML Metadata.
        version: its number; None: the live one.
        reason: why.

    Returns:
        The folder of the version, and whether it is live: it stays so until a rollback.

    Raises:
        ModelError: there is no such version, or it was not pushed from here.
    """
    provenance = _as_it_is(recipe, store)
    live, wanted = _version(recipe, None), _version(recipe, version)
    model = _model(provenance, store, wanted)
    if model is None:
        raise ModelError(f'version {wanted.name} was not pushed by {recipe.name}')
    blessings = apply_override(store, model, _override(False, reason))
    inputs = {'model': [model], 'model_blessing': blessings}
    record(store, recipe.name, UNBLESS, inputs, {}, _why(reason, int(wanted.name)))
    return wanted, _id(_model(provenance, store, live)) == model.id


def person() -> str:
    """Who it is: the name of the user, or the number where there is no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have none
        return str(os.getuid())


def _as_it_is(recipe: Recipe, store: MetadataStore) -> Provenance:
    """What is known, after what was killed is completed: a rollback counts from its rename on."""
    note_pushes(recipe, store)
    return Provenance(store, recipe.name)


def _override(blessed: bool, reason: str) -> ManualOverride:
    now = datetime.datetime.now(datetime.timezone.utc)
    return ManualOverride(blessed=blessed, person=person(), reason=reason, moment=now)


def _why(reason: str, version: int) -> dict[str, str | int]:
    return {'person': person(), 'reason': reason, 'version': version}


def _version(recipe: Recipe, number: str | None) -> Path:
    """A version by its number; the live one without any."""
    versions = versions_in(recipe.serving_directory)
    if not versions:
        raise ModelError(f'there is no version in {recipe.serving_directory}')
    for folder in versions if number is not None else versions[-1:]:
        if number in (None, folder.name):
            return folder
    raise ModelError(f'there is no version {number}; there are {_listed(versions)}')


def _earlier(recipe: Recipe, provenance: Provenance, store: MetadataStore) -> Path:
    *others, live = versions_in(recipe.serving_directory)
    before = _id(_model(provenance, store, live))
    for folder in reversed(others):
        model = _model(provenance, store, folder)
        if not (model and model.id == before) and not _withdrawn(model, read_note(folder)):
            return folder
    raise ModelError(
        f'there is no version before {live.name} that holds another model whose blessing stands'
    )


def _model(provenance: Provenance, store: MetadataStore, version: Path) -> Artifact | None:
    """Of the Trainer; None if somebody else put the version there."""
    for each in provenance.pushed():
        if destination_of(each) == str(version):
            return each.input('model')
    note = read_note(version)
    return model_in(store, note.about) if note else None


def _candidate(provenance: Provenance) -> Artifact:
    judged = [each.input('model') for each in provenance.judged()]
    if not judged or judged[-1] is None:
        raise ModelError('there is no candidate: no run has come to its verdict')
    return judged[-1]


def _given(recipe: Recipe, provenance: Provenance, store: MetadataStore, model: str) -> Artifact:
    folder = Path(model).absolute()
    for version in versions_in(recipe.serving_directory):
        if version.name == model or version == folder:
            found = _model(provenance, store, version)
            if found is not None:
                return found
    for trainer in provenance.of_kind(TRAINER):
        made = trainer.output('model')
        if made is not None and folder_of(made.uri).absolute() == folder:
            return made
    raise ModelError(f'{model} is no version and no model that {recipe.name} has trained')


def _beside(
    recipe: Recipe, provenance: Provenance, store: MetadataStore, model: Artifact
) -> dict[str, Path]:
    """What went with the last version of a model, such as TensorFlow Lite models, goes with it."""
    own = files_of(folder_of(model.uri) / SERVED)
    for version in reversed(versions_in(recipe.serving_directory)):
        if _id(_model(provenance, store, version)) == model.id:
            return {
                name.removeprefix(EXTRA): path
                for name, path in files_of(version).items()
                if name.startswith(EXTRA) and name not in own
            }
    return {}


def _about(recipe: Recipe, provenance: Provenance, model: Artifact, reason: str) -> About:
    trainer = provenance.producer(model)
    evaluations = (
        each.output('evaluation')
        for each in provenance.of_kind(EVALUATOR)
        if _id(each.input('model')) == model.id
    )
    evaluation = next((each for each in evaluations if each is not None), None)
    return About(
        recipe=recipe.name,
        run=provenance.run_id(trainer) if trainer else None,
        model=model.uri,
        model_id=model.id,
        spans=tuple(provenance.trained_on(model)),
        by_hand=PUSHED_BY_BLESS,
        accuracy=read_accuracy(folder_of(evaluation.uri)) if evaluation else None,
        person=person(),
        reason=reason,
    )


def _withdrawn(model: Artifact | None, note: Note | None) -> str | None:
    """The override that withdrew its blessing; the metadata may have begun anew since."""
    uri = model.uri if model else note.about.model if note else None
    return withdrawal(folder_of(uri) if uri else None)


def _listed(versions: Iterable[Path]) -> str:
    return ', '.join(each.name for each in [*versions][-_NAMED:])


def _id(artifact: Artifact | None) -> int | None:
    return artifact.id if artifact else None
