"""Manual overrides: rollback, bless and unbless, each with a reason. Imports no TFX.

Each writes files first and ML Metadata second. If the process is killed in between, the next run or
override completes the metadata from the note in the version.
"""

import getpass
import os
from pathlib import Path

from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Artifact

from common.artifacts import SERVED, folder_of
from common.errors import ConfigError, ModelError, PushError
from components.evaluation.metrics.evaluation_files import read_accuracy
from components.pusher.serving_folder import About
from components.pusher.versions import Pushed, push
from pipeline.config.recipe import Recipe
from pipeline.formatting import require_text
from pipeline.registry.leftovers import finish_pushes
from pipeline.registry.mounts import check_own
from pipeline.registry.provenance import BLESS, TRAINER, UNBLESS, Provenance, ServedVersion
from pipeline.registry.recording import model_at, override, record, record_push

USER = 'CATDOG_USER'  # environment variable


def rollback(recipe: Recipe, store: MetadataStore, version: str | None, reason: str) -> Pushed:
    """Copies an earlier version to a new, live one, and withdraws the blessing of the live model.

    `version` is a version number; None stands for the newest earlier version of another model whose
    blessing was not withdrawn.

    Raises:
        ModelError: there is no such version, or the live model is of another folder of runs.
        PushError: the folder or the bucket cannot be written.
    """
    versions = _versions(recipe, store)
    live = versions[-1]
    wanted = _earlier(versions) if version is None else _find_version(versions, version)
    number = wanted.folder.name
    if withdrawn := wanted.withdrawal():
        raise ModelError(f'version {number}: {withdrawn}; bless {number} --force makes it live')
    changes = {
        'recipe': recipe.name,
        'model': wanted.model,
        'manual_override': 'rollback',
        'person': user_name(),
        'reason': reason,
        'version': int(number),
        'withdrawn': None if live.model == wanted.model else live.model,
    }
    about = (wanted.note.about if wanted.note else About()).model_copy(update=changes)
    if about.withdrawn:
        check_own(recipe, about.withdrawn)
    pushed = _push(recipe, wanted.folder, about)
    if pushed.unchanged:
        raise ModelError(f'the model of version {number} is live already')
    record_push(store, recipe, pushed.folder)
    return pushed


def bless(recipe: Recipe, store: MetadataStore, model: str, reason: str) -> Pushed:
    """Blesses a model against the gate's decision, and makes it live.

    `model` is a version, or the folder of a version or of a Trainer's model.

    Raises:
        ModelError: there is no such model, it was not evaluated, or is of another folder of runs.
        PushError: the folder or the bucket cannot be written; the model is blessed, and the next
            run pushes it.
    """
    finish_pushes(recipe, store)
    provenance = Provenance(store, recipe.name)
    versions = provenance.versions(recipe.serving_directory)
    found = _find_model(provenance, versions, model)
    check_own(recipe, found.uri)
    about = _about_blessed(recipe, provenance, found, reason)
    override(found, True, about)
    # A version has the model's TensorFlow Lite models, too.
    pushed_before = [version.folder for version in versions if version.model == found.uri]
    source = pushed_before[-1] if pushed_before else folder_of(found.uri) / SERVED
    try:
        pushed = _push(recipe, source, about)
    except PushError as error:
        raise PushError(f'{error}; the model is blessed, and the next run pushes it') from error
    if pushed.unchanged:  # the live version has an older note
        record(store, recipe.name, BLESS, about)
    else:
        record_push(store, recipe, pushed.folder)
    return pushed


def unbless(
    recipe: Recipe, store: MetadataStore, version: str | None, reason: str
) -> tuple[Path, bool]:
    """Withdraws the blessing of a version, by default the live one.

    Later models are not compared with it or warm-started from it.

    Returns:
        The folder of the version, and whether its model is live; it stays live until a rollback.

    Raises:
        ModelError: there is no such version, this recipe did not push it, or its model is of
            another folder of runs.
    """
    versions = _versions(recipe, store)
    wanted = versions[-1] if version is None else _find_version(versions, version)
    number = wanted.folder.name
    model = model_at(store, wanted.model)
    if model is None:
        raise ModelError(f'version {number} was not pushed by {recipe.name}')
    check_own(recipe, model.uri)
    about = About(model=model.uri, person=user_name(), reason=reason, version=int(number))
    override(model, False, about)
    record(store, recipe.name, UNBLESS, about)
    return wanted.folder, wanted.model == versions[-1].model


def user_name() -> str:
    """The user's name: CATDOG_USER, else the name of the process's user, else its id.

    Raises:
        ConfigError: CATDOG_USER is empty, as in the image, where all users share one user id.
    """
    if USER in os.environ:
        if name := ' '.join(os.environ[USER].split()):
            return require_text(f'the environment variable {USER}', name)
        raise ConfigError(f'the environment variable {USER} is empty; set it to your name')
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # possible in a container
        return str(os.getuid())


def _push(recipe: Recipe, model: Path, about: About) -> Pushed:
    return push(
        model,
        recipe.serving_directory,
        keep=recipe.push.keep,
        about=about,
        bucket=recipe.serving_bucket,
    )


def _versions(recipe: Recipe, store: MetadataStore) -> list[ServedVersion]:
    """The versions, at least one, after pushes of killed processes are recorded."""
    finish_pushes(recipe, store)
    versions = Provenance(store, recipe.name).versions(recipe.serving_directory)
    if not versions:
        raise ModelError(f'there is no version in {recipe.serving_directory}')
    return versions


def _find_version(versions: list[ServedVersion], number: str) -> ServedVersion:
    for version in versions:
        if version.folder.name == number:
            return version
    known = ', '.join(version.folder.name for version in versions)
    raise ModelError(f'there is no version {number}; there are {known}')


def _earlier(versions: list[ServedVersion]) -> ServedVersion:
    """The newest earlier version of another model whose blessing was not withdrawn."""
    *others, live = versions
    for version in reversed(others):
        is_live_model = version.model is not None and version.model == live.model
        if not is_live_model and not version.withdrawal():
            return version
    raise ModelError(f'no version before {live.folder.name} holds another, still blessed model')


def _find_model(provenance: Provenance, versions: list[ServedVersion], model: str) -> Artifact:
    """The Trainer's model, given by a version or by a folder."""
    folder = Path(model).absolute()
    pushed = {each.model for each in versions if model == each.folder.name or folder == each.folder}
    for trainer in provenance.of_kind(TRAINER):
        found = trainer.output('model')
        if found and (found.uri in pushed or folder_of(found.uri).absolute() == folder):
            if not any(node.uses(found) for node in provenance.gate_decisions()):
                raise ModelError(f'the model in {found.uri} was never evaluated; run the recipe')
            return found
    raise ModelError(f'{model} is neither a version nor a model that this recipe has trained')


def _about_blessed(recipe: Recipe, provenance: Provenance, model: Artifact, reason: str) -> About:
    decision = provenance.decision(model)
    evaluation = decision.input('evaluation') if decision else None
    return About(
        recipe=recipe.name,
        model=model.uri,
        spans=tuple(provenance.training_spans(model)),
        manual_override='bless',
        accuracy=read_accuracy(folder_of(evaluation.uri)) if evaluation else None,
        person=user_name(),
        reason=reason,
    )
