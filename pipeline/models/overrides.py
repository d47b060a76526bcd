"""Manual overrides: rollback, bless and unbless, each with a reason. Imports no TFX.

An override is a file next to the Trainer's model, for its next push, and one in each version that
holds the model, for the comparison of later candidates. Then it is recorded like a run.
"""

import getpass
import os
from collections.abc import Callable
from pathlib import Path

from ml_metadata.proto.metadata_store_pb2 import Artifact

from common.artifacts import SERVED, content_of, folder_of
from common.blessing import BLESSING, decision_of
from common.errors import ConfigError, ModelError, PushError
from common.manual_override import ManualOverride, write_override
from common.metadata_queries import Node
from common.mirror import uri_of
from components.evaluation.metrics.evaluation_files import read_accuracy
from components.pusher.bucket import serves
from components.pusher.serving_folder import (
    EXTRA,
    About,
    holds,
    is_complete,
    override_of,
    read_note,
    versions_in,
)
from components.pusher.versions import Pushed, push
from pipeline.config.recipe import Recipe
from pipeline.formatting import require_text
from pipeline.models.provenance import Provenance
from pipeline.run.record import record_override, utc_now

USER = 'CATDOG_USER'  # environment variable


def rollback(recipe: Recipe, provenance: Provenance, version: str | None, reason: str) -> Pushed:
    """Withdraws the blessing of the live model, and copies an earlier version to a new, live one.

    `version` is a version number; None stands for the newest earlier version of another model whose
    blessing was not withdrawn. If the bucket does not serve the live version, this one may be
    given, too: it is pushed again, and keeps its blessing. In a bucket, None stands for it if it is
    of a rollback that could not write `serving.config`.

    Raises:
        ModelError: there is no such version, or it cannot be rolled back to.
        PushError: the folder or the bucket cannot be written.
        StorageError: the bucket cannot be read.
    """
    live = _find_version(recipe, None)
    wanted = _rollback_target(recipe, live, version)
    note = read_note(wanted)
    changes = {
        'recipe': recipe.name,
        'manual_override': 'rollback',
        'person': user_name(),
        'reason': reason,
        'version': int(wanted.name),
    }
    about = (note.about if note else About()).model_copy(update=changes)

    def withdraw() -> None:
        if _find_version(recipe, None) != live:
            raise ModelError('another version went live meanwhile; nothing is rolled back')
        # Before the push: if this process is killed in between, the same command can be repeated.
        if not holds(live, wanted):
            _override(recipe, live, provenance.model_of(live), False, about)

    try:
        pushed = _push(recipe, wanted, about, withdraw)
    except PushError as error:
        override = override_of(live)
        if override is None or override.blessed:
            raise
        raise PushError(f'{error}; the blessing of version {live.name} is withdrawn') from error
    record_override(recipe.home, 'rollback', about, pushed.folder.name)
    return pushed


def bless(
    recipe: Recipe, provenance: Provenance, model: str, reason: str, *, force: bool
) -> Pushed:
    """Blesses the model of a version or of a run, and makes it live; `force` overrides the gate.

    Raises:
        ConfigError: the gate rejected the model, and `force` is not set.
        ModelError: there is no such model, or it was not evaluated.
        PushError: the folder or the bucket cannot be written; the model is blessed, and the next
            run pushes it.
    """
    decision = _find_decision(recipe, provenance, model)
    if not force and not decision_of(decision.output(BLESSING)):
        raise ConfigError(f'the gate rejected the model of {model}; add --force to override it')
    found, evaluation = decision.inputs['model'][0], decision.input('evaluation')
    about = About(
        recipe=recipe.name,
        model=found.uri,
        spans=tuple(provenance.training_spans(found)),
        manual_override='bless',
        accuracy=read_accuracy(content_of(evaluation.uri)) if evaluation else None,
        person=user_name(),
        reason=reason,
    )
    saved_model = content_of(found.uri) / SERVED
    _override(recipe, saved_model, found, True, about)
    # A version has the model's TensorFlow Lite models, too.
    versions = reversed(versions_in(recipe.serving_directory))
    source = next((each for each in versions if holds(each, saved_model)), saved_model)
    try:
        pushed = _push(recipe, source, about)
    except PushError as error:
        raise PushError(f'{error}; the model is blessed, and the next run pushes it') from error
    record_override(recipe.home, 'bless', about, pushed.folder.name)
    return pushed


def unbless(
    recipe: Recipe, provenance: Provenance, version: str | None, reason: str
) -> tuple[Path, bool]:
    """Withdraws the blessing of a version, by default the live one.

    Later models are not compared with it or warm-started from it.

    Returns:
        The folder of the version, and whether its model is live; it stays live until a rollback.

    Raises:
        ModelError: there is no such version.
    """
    wanted = _find_version(recipe, version)
    model = provenance.model_of(wanted)
    uri = model.uri if model else None
    about = About(recipe=recipe.name, model=uri, person=user_name(), reason=reason)
    _override(recipe, wanted, model, False, about)
    record_override(recipe.home, 'unbless', about, wanted.name)
    return wanted, holds(wanted, _find_version(recipe, None))


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


def _push(
    recipe: Recipe,
    model: Path,
    about: About,
    check: Callable[[], None] = lambda: None,
) -> Pushed:
    return push(
        model,
        recipe.serving_directory,
        keep=recipe.push.keep,
        about=about,
        bucket=recipe.serving_bucket,
        check=check,
    )


def _override(
    recipe: Recipe, saved_model: Path, model: Artifact | None, blessed: bool, about: About
) -> None:
    """Blesses a model or withdraws its blessing, in the versions with it and in its artifact."""
    override = ManualOverride(
        blessed=blessed, person=about.person or '', reason=about.reason or '', moment=utc_now()
    )
    versions = versions_in(recipe.serving_directory)
    folders = [each / EXTRA for each in versions if holds(each, saved_model)]
    if model is not None:
        folders.append(folder_of(model.uri))
    for folder in folders:
        write_override(folder, override)


def _find_version(recipe: Recipe, number: str | None) -> Path:
    """A version by its number, by default the live one."""
    versions = {path.name: path for path in versions_in(recipe.serving_directory)}
    if number in versions:
        return versions[number]
    if number is None and versions:
        return [*versions.values()][-1]
    wanted = 'version' if number is None else f'version {number}'
    known = ', '.join(versions) or 'none'
    raise ModelError(f'there is no {wanted} in {uri_of(recipe.serving_directory)}: {known}')


def _rollback_target(recipe: Recipe, live: Path, number: str | None) -> Path:
    """The version of a number, or the default of `rollback`; raises ModelError."""
    if number is not None:
        wanted, bucket = _find_version(recipe, number), recipe.serving_bucket
        problem = _problem(wanted)
        if holds(live, wanted) and (bucket is None or serves(bucket, live)):
            problem = 'its model is live already'
        if problem:
            raise ModelError(f'version {number}: {problem}')
        return wanted
    note = read_note(live) if recipe.is_remote else None
    is_rollback = note is not None and note.about.manual_override == 'rollback'
    repeats = is_rollback and not serves(live.parent, live)
    for version in reversed(versions_in(recipe.serving_directory)):
        if (repeats or not holds(live, version)) and not _problem(version):
            return version
    raise ModelError(f'no version before {live.name} holds another, still blessed model')


def _problem(version: Path) -> str | None:
    """Why a version cannot be rolled back to."""
    override = override_of(version)
    if not is_complete(version):
        return 'it is damaged: its graph or its weights are missing'
    if override and not override.blessed:
        return f'{override.describe()}; bless it to make it live'
    return None


def _find_decision(recipe: Recipe, provenance: Provenance, given: str) -> Node:
    """The last gate decision on the model of a version or of a run."""
    versions = {path.name: path for path in versions_in(recipe.serving_directory)}
    version = versions.get(given)
    model = provenance.model_of(version) if version else provenance.model_of_run(given)
    decision = provenance.decision(model) if model else None
    if decision is None:
        raise ModelError(
            f'{recipe.name} has evaluated no model of a version or run {given}; see models and runs'
        )
    return decision
