"""Records pushes and manual overrides in ML Metadata outside of a run. Imports no TFX."""

import datetime
from pathlib import Path

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from ml_metadata.proto.metadata_store_pb2 import Artifact, Event, Execution

from common.artifacts import folder_of
from common.blessing import ManualOverride, read_override, write_override
from common.metadata_queries import set_custom_properties
from components.pusher.serving_folder import About, read_note
from pipeline.config.recipe import Recipe
from pipeline.registry.mounts import is_own
from pipeline.registry.provenance import ADOPT, BLESS, ROLLBACK

_KINDS = {'rollback': ROLLBACK, 'bless': BLESS, None: ADOPT}


def record_push(store: MetadataStore, recipe: Recipe, version: Path, run: str = '') -> None:
    """Records a push of a pipeline run, or of no run, from the note in the version.

    For a rollback, this withdraws the blessing of the model that was live before; not if that is
    in another folder of runs, of which this one is a copy.
    """
    note = read_note(version)
    assert note is not None  # written by the push
    about = note.about
    if about.manual_override is None and model_at(store, about.model) is None:
        return  # pushed with other metadata: there is no model to connect it to
    withdrawn = model_at(store, about.withdrawn)
    if withdrawn is not None and is_own(recipe, withdrawn.uri):
        last = read_override(folder_of(withdrawn.uri))
        if last is None or last.moment < note.pushed:  # not blessed again since the rollback
            override(withdrawn, False, about)
    record(store, recipe.name, _KINDS[about.manual_override], about, pushed=version, run=run)


def override(model: Artifact, blessed: bool, about: About) -> None:
    """Blesses a model or withdraws its blessing, with the user and reason in `about`."""
    decision = ManualOverride(
        blessed=blessed,
        person=about.person or '',
        reason=about.reason or '',
        moment=datetime.datetime.now(datetime.timezone.utc),
    )
    write_override(folder_of(model.uri), decision)


def model_at(store: MetadataStore, uri: str | None) -> Artifact | None:
    """The model with a URI; None if it is not in this metadata."""
    return next(iter(store.get_artifacts_by_uri(uri)), None) if uri else None


def record(
    store: MetadataStore,
    pipeline: str,
    kind: str,
    about: About,
    pushed: Path | None = None,
    run: str = '',
) -> None:
    """Records a complete execution of type `catdog.KIND`.

    Its input is the model, its output the pushed version, if any.
    """
    type_id = store.put_execution_type(mlmd.ExecutionType(name=f'catdog.{kind}'))
    execution = Execution(type_id=type_id, last_known_state=Execution.COMPLETE)
    values = about.model_dump(include={'person', 'reason', 'version', 'withdrawn'})
    set_custom_properties(execution, values)
    model, pairs = model_at(store, about.model), []
    if model is not None:
        pairs.append((model, _event(Event.INPUT, 'model')))
    if pushed is not None:
        pairs.append((_pushed_model(store, pushed), _event(Event.OUTPUT, 'pushed_model')))
    names = (('pipeline', pipeline), ('pipeline_run', run))
    contexts = [store.get_context_by_type_and_name(*each) for each in names]
    store.put_execution(execution, pairs, [each for each in contexts if each])


def _pushed_model(store: MetadataStore, folder: Path) -> Artifact:
    """An artifact as TFX's Pusher outputs it."""
    kind = mlmd.ArtifactType(name='PushedModel', base_type=mlmd.ArtifactType.MODEL)
    type_id = store.put_artifact_type(kind)
    artifact = Artifact(type_id=type_id, uri=str(folder), state=Artifact.LIVE)
    values = {'pushed_destination': str(folder), 'pushed_version': folder.name}
    set_custom_properties(artifact, {'pushed': 1, 'unchanged': 0, **values})
    return artifact


def _event(kind: int, key: str) -> Event:
    steps = [Event.Path.Step(key=key), Event.Path.Step(index=0)]
    return Event(type=kind, path=Event.Path(steps=steps))
