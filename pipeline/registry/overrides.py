"""Manual overrides: rollback, bless and unbless, each with a reason. Imports no TFX.

Each writes to the serving folder first and to ML Metadata second. If the process is killed in
between, the next run or override completes the metadata from the note in the version.
"""

import datetime
import getpass
import os
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
    record,
    record_missing_pushes,
    record_push,
)

_MAX_LISTED = 10  # versions in an error message


def rollback(recipe: Recipe, store: MetadataStore, version: str | None, reason: str) -> Pushed:
    """Makes an earlier version live again, and withdraws the blessing of the live model.

    Args:
        recipe: its serving folder holds the versions.
        store: ML Metadata.
        version: the version number; None: the newest earlier version of another model whose
            blessing was not withdrawn.
        reason: recorded in the metadata.

    Returns:
        The new version, a copy of the earlier one.

    Raises:
        ModelError: there is no such version.
        PushError: the folder cannot be written.
    """
    provenance = _complete_provenance(recipe, store)
    live = _version(recipe, None)
    wanted = _earlier(recipe, provenance, store) if version is None else _version(recipe, version)
    if wanted == live:
        raise ModelError(f'version {live.name} is live already')
    model, live_model = _model(provenance, store, wanted), _model(provenance, store, live)
    note = read_note(wanted)
    withdrawn = _withdrawal(model, note)
    if withdrawn:
        raise ModelError(
            f'version {wanted.name}: {withdrawn}; bless {wanted.name} --force makes it live'
        )
    rejected = None if _id(live_model) == _id(model) else live_model
    about = (note.about if note else About()).model_copy(
        update={
            'recipe': recipe.name,
            'model_id': _id(model),
            **({'model': model.uri} if model else {}),
            'manual_override': PUSHED_BY_ROLLBACK,
            'person': user_name(),
            'reason': reason,
            'version': int(wanted.name),
            'withdrawn_id': _id(rejected),
            'withdrawn': rejected.uri if rejected else None,
        }
    )
    pushed = restore(wanted, keep=recipe.push.keep, about=about)
    record_push(store, recipe.name, pushed.folder)
    return pushed


def bless(recipe: Recipe, store: MetadataStore, model: str | None, reason: str) -> Pushed:
    """Blesses and pushes a model against the gate's decision.

    Args:
        recipe: its runs trained the model.
        store: ML Metadata.
        model: a version, or the folder of a version or of a Trainer's model; None: the last
            candidate.
        reason: recorded in the metadata.

    Raises:
        ModelError: there is no such model, or it was not evaluated.
        PushError: the folder cannot be written; the model is blessed, and the next run pushes it.
    """
    provenance = _complete_provenance(recipe, store)
    found = _candidate(provenance) if model is None else _find(recipe, provenance, store, model)
    if not blessings_of(store, found.id):
        raise ModelError(f'the model in {found.uri} was never evaluated; run the recipe first')
    blessings = apply_override(store, found, _override(True, reason))
    try:
        pushed = push(
            folder_of(found.uri) / SERVED,
            recipe.serving_directory,
            keep=recipe.push.keep,
            about=_about(recipe, provenance, found, reason),
            extra_files=_extra_files(recipe, provenance, store, found),
        )
    except PushError as error:
        raise PushError(f'{error}; the model is blessed, and the next run pushes it') from error
    if pushed.unchanged:
        inputs = {'model': [found], 'model_blessing': blessings}
        record(store, recipe.name, BLESS, inputs, {}, _properties(reason, pushed.version))
    else:
        record_push(store, recipe.name, pushed.folder)
    return pushed


def unbless(
    recipe: Recipe, store: MetadataStore, version: str | None, reason: str
) -> tuple[Path, bool]:
    """Withdraws a blessing: later models are not compared with it or warm-started from it.

    Args:
        recipe: its serving folder holds the versions.
        store: ML Metadata.
        version: the version number; None: the live version.
        reason: recorded in the metadata.

    Returns:
        The folder of the version, and whether its model is live; it stays live until a rollback.

    Raises:
        ModelError: there is no such version, or this recipe did not push it.
    """
    provenance = _complete_provenance(recipe, store)
    live, wanted = _version(recipe, None), _version(recipe, version)
    model = _model(provenance, store, wanted)
    if model is None:
        raise ModelError(f'version {wanted.name} was not pushed by {recipe.name}')
    blessings = apply_override(store, model, _override(False, reason))
    inputs = {'model': [model], 'model_blessing': blessings}
    record(store, recipe.name, UNBLESS, inputs, {}, _properties(reason, int(wanted.name)))
    return wanted, _id(_model(provenance, store, live)) == model.id


def user_name() -> str:
    """Name of the user of this process, or the user id if it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # possible in a container
        return str(os.getuid())


def _complete_provenance(recipe: Recipe, store: MetadataStore) -> Provenance:
    """The provenance, after pushes of killed processes are recorded."""
    record_missing_pushes(recipe, store)
    return Provenance(store, recipe.name)


def _override(blessed: bool, reason: str) -> ManualOverride:
    now = datetime.datetime.now(datetime.timezone.utc)
    return ManualOverride(blessed=blessed, person=user_name(), reason=reason, moment=now)


def _properties(reason: str, version: int) -> dict[str, str | int]:
    return {'person': user_name(), 'reason': reason, 'version': version}


def _version(recipe: Recipe, number: str | None) -> Path:
    """The folder of a version; of the live one if `number` is None."""
    versions = versions_in(recipe.serving_directory)
    if not versions:
        raise ModelError(f'there is no version in {recipe.serving_directory}')
    for folder in versions if number is not None else versions[-1:]:
        if number in (None, folder.name):
            return folder
    known = ', '.join(each.name for each in versions[-_MAX_LISTED:])
    raise ModelError(f'there is no version {number}; there are {known}')


def _earlier(recipe: Recipe, provenance: Provenance, store: MetadataStore) -> Path:
    """The newest earlier version of another model whose blessing was not withdrawn."""
    *others, live = versions_in(recipe.serving_directory)
    live_model = _id(_model(provenance, store, live))
    for folder in reversed(others):
        model = _model(provenance, store, folder)
        if not (model and model.id == live_model) and not _withdrawal(model, read_note(folder)):
            return folder
    raise ModelError(
        f'there is no version before {live.name} that holds another model with a valid blessing'
    )


def _model(provenance: Provenance, store: MetadataStore, version: Path) -> Artifact | None:
    """The Trainer's model of a version; None if the version was copied there by a user."""
    for each in provenance.pushed():
        if destination_of(each) == str(version):
            return each.input('model')
    note = read_note(version)
    return model_in(store, note.about) if note else None


def _candidate(provenance: Provenance) -> Artifact:
    candidates = [each.input('model') for each in provenance.gate_decisions()]
    if not candidates or candidates[-1] is None:
        raise ModelError('there is no candidate: no run has evaluated a model')
    return candidates[-1]


def _find(recipe: Recipe, provenance: Provenance, store: MetadataStore, model: str) -> Artifact:
    """The Trainer's model, given by a version or by a folder."""
    folder = Path(model).absolute()
    for version in versions_in(recipe.serving_directory):
        if version.name == model or version == folder:
            found = _model(provenance, store, version)
            if found is not None:
                return found
    for trainer in provenance.of_kind(TRAINER):
        trained = trainer.output('model')
        if trained is not None and folder_of(trained.uri).absolute() == folder:
            return trained
    raise ModelError(f'{model} is neither a version nor a model that {recipe.name} has trained')


def _extra_files(
    recipe: Recipe, provenance: Provenance, store: MetadataStore, model: Artifact
) -> dict[str, Path]:
    """Files pushed with the last version of a model, such as TensorFlow Lite models."""
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
        each.output('evaluation') for each in provenance.of_kind(EVALUATOR) if each.uses(model)
    )
    evaluation = next((each for each in evaluations if each is not None), None)
    return About(
        recipe=recipe.name,
        run=provenance.run_id(trainer) if trainer else None,
        model=model.uri,
        model_id=model.id,
        spans=tuple(provenance.training_spans(model)),
        manual_override=PUSHED_BY_BLESS,
        accuracy=read_accuracy(folder_of(evaluation.uri)) if evaluation else None,
        person=user_name(),
        reason=reason,
    )


def _withdrawal(model: Artifact | None, note: Note | None) -> str | None:
    """Describes the override that withdrew a blessing; uses the note if the metadata is new."""
    uri = model.uri if model else note.about.model if note else None
    return withdrawal(folder_of(uri) if uri else None)


def _id(artifact: Artifact | None) -> int | None:
    return artifact.id if artifact else None
