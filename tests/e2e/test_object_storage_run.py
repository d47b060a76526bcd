"""Runs whose artifacts, records and models are in a bucket; each component has an empty disk."""

import shutil

import pytest
from metadata_service import serve
from ml_metadata.proto import metadata_store_pb2
from workspace import QUICK_RECIPE

from common.mirror import is_remote, uri_of
from components.pusher.bucket import served_version
from components.pusher.serving_folder import read_note, versions_in
from pipeline.config.recipe import load_recipe
from pipeline.execution.launch import compile_pipeline, launch_node
from pipeline.execution.recipe_checks import check
from pipeline.graph import create_pipeline
from pipeline.kubeflow.nodes import write_outputs
from pipeline.metadata_store import open_store
from pipeline.models.lineage import trace
from pipeline.models.overrides import rollback
from pipeline.models.preparation import prepare_metadata
from pipeline.run.record import read_runs, utc_now
from pipeline.run.recording import Recording, new_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # two runs
MORE = """
  warm_start: live
evaluation:
  minimum: 0.0
  margin: 1
"""


@pytest.fixture(scope='module')
def environment(tmp_path_factory, running_s3_server):
    """A recipe in a bucket, and ML Metadata of a server."""
    import bucket_servers

    folder = tmp_path_factory.mktemp('object')
    file = str(folder / 'metadata.sqlite')
    sqlite = {'filename_uri': file, 'connection_mode': 'READWRITE_OPENCREATE'}
    (folder / 'pets.yaml').write_text(QUICK_RECIPE + MORE)
    with pytest.MonkeyPatch.context() as patch:
        bucket_servers.set_variables(patch, running_s3_server.variables)
        patch.setenv('CATDOG_CACHE', str(folder / 'cache'))
        bucket = bucket_servers.Bucket('s3', running_s3_server)
        with serve(metadata_store_pb2.ConnectionConfig(sqlite=sqlite)) as port:
            data = {'source': 'folder', 'path': str(folder / 'data'), 'window': 2}
            overrides = {
                'data': data,
                'workdir': f'{bucket.url}/runs',
                'metadata.address': f'grpc://127.0.0.1:{port}',
            }
            yield folder, load_recipe(str(folder / 'pets.yaml'), [*overrides.items()]), bucket


def run(folder, recipe, run_id, last='Pusher'):
    """Runs the nodes up to one, each without the files of the others; returns the cached ones."""
    with Recording(recipe.home, new_run(recipe, utc_now(), id=run_id, engine='kubeflow')) as record:
        prepare_metadata(recipe, open_store(recipe.metadata, recipe.home))
        classes, images = check(recipe)
        record.add()
    cached = set()
    for node in [each.id for each in create_pipeline(recipe, classes, images).components]:
        shutil.rmtree(folder / 'cache', ignore_errors=True)
        ir = compile_pipeline(create_pipeline(recipe, classes, images), run_id)
        if launch_node(ir, node).cached:
            cached.add(node)
        if node == last:
            break
    if last == 'Pusher':
        shutil.rmtree(folder / 'cache', ignore_errors=True)
        write_outputs(ir, recipe, folder / 'page.html', folder / 'output.json')
    return cached


@pytest.fixture(scope='module')
def runs(environment, make_image_folder):
    """Two runs, the second with one more span."""
    folder, recipe, _ = environment
    done = []
    for span in (1, 2):
        make_image_folder(folder / 'data' / f'span-{span}', per_class=60, seed=span)
        done.append(run(folder, recipe, f'run-{span}'))
    return done


def test_runs_are_recorded_and_pushed(environment, runs):
    _, recipe, bucket = environment
    found = two_runs(recipe)
    assert [each.result for each in found] == ['blessed', 'blessed']
    assert found[1].gate.comparison is not None
    assert [uri_of(each) for each in versions_in(recipe.serving_directory)[:2]] == [
        each.folder for each in found
    ]
    assert all(each.model.startswith(f'{bucket.url}/runs/pets/artifacts/') for each in found)
    assert {f'runs/pets/reports/{each.id}.html' for each in found} <= bucket.objects


def test_metadata_have_no_paths_of_the_disk(environment, runs):
    folder, recipe, _ = environment
    store = open_store(recipe.metadata, recipe.home)
    artifacts, executions = store.get_artifacts(), store.get_executions()
    assert all(is_remote(each.uri) and '://' in each.uri for each in artifacts)
    inner = [str(each.custom_properties) for each in (*artifacts, *executions)]
    # The schema is written by each process, at the same place in all pods.
    assert [each for each in inner if f'{folder}/cache' in each and '/schema/' not in each] == []


def test_second_run_links_the_first_span_and_starts_warm(environment, runs):
    _, recipe, bucket = environment
    second = versions_in(recipe.serving_directory)[1]
    assert read_note(second).about.spans == (1, 2)
    found = trace(provenance(recipe), recipe.serving_directory, second.name)
    assert len(found.parents) == 1
    names = {name.rpartition('/')[2] for name in bucket.objects if '/span-1/Split-train/' in name}
    before, after = (
        [bucket.read(f'runs/pets/artifacts/{each}') for each in records_of(bucket, number)]
        for number in executions_of(bucket)
    )
    assert names
    assert before == after


def test_data_of_a_repeated_run_are_cached(environment, runs):
    folder, recipe, _ = environment
    assert run(folder, recipe, 'run-3', last='Transform') >= {
        'ImageExampleGen',
        'ImportSchemaGen',
        'StatisticsGen',
        'ExampleValidator',
        'AnomalyGate',
        'Transform',
    }


def test_rollback_is_live_in_the_bucket(environment, runs):
    _, recipe, _ = environment
    first = versions_in(recipe.serving_directory)[0]
    rollback(recipe, provenance(recipe), first.name, 'too many cats')
    live = versions_in(recipe.serving_directory)[-1]
    assert read_note(live).about.version == int(first.name)
    assert served_version(recipe.serving_bucket) == int(live.name)


def two_runs(recipe):
    """The records of the two runs, without those of other tests."""
    return [each for each in read_runs(recipe.home) if each.id in ('run-1', 'run-2')]


def provenance(recipe):
    return prepare_metadata(recipe, open_store(recipe.metadata, recipe.home))


def executions_of(bucket):
    """The numbers of the ingestions, the earlier first."""
    parts = (name.split('/') for name in bucket.objects if '/ImageExampleGen/examples/' in name)
    return sorted({int(each[5]) for each in parts if each[5].isdecimal()})


def records_of(bucket, number):
    start = f'runs/pets/artifacts/ImageExampleGen/examples/{number}/span-1/Split-train/'
    names = sorted(name for name in bucket.objects if name.startswith(start))
    return [name.removeprefix('runs/pets/artifacts/') for name in names]
