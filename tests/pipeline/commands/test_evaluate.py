"""The `evaluate` command, on models that tell dark images from bright ones."""

import csv
import hashlib
import json
import shutil

import click.testing
import numpy as np
import pytest
from ml_metadata.proto.metadata_store_pb2 import Artifact

from common.errors import USAGE
from common.features import CLASSES_FILE
from pipeline.models.provenance import Provenance
from pipeline_runner import main
from trainer.training.trained_images import TRAINED_IMAGE, TRAINED_ON


@pytest.fixture(scope='module')
def workdir(tmp_path_factory, make_saved_model):
    """Version 7 is right on every image; 5 has other classes, and cannot be loaded."""
    folder = tmp_path_factory.mktemp('work')
    other = folder / 'demo' / 'serving' / '5'
    (other / CLASSES_FILE).parent.mkdir(parents=True)
    (other / CLASSES_FILE).write_text('["a", "b"]')
    (other / 'saved_model.pb').touch()
    make_saved_model(other.with_name('7'))
    return folder


@pytest.fixture(scope='module')
def images(tmp_path_factory, make_image_folder):
    """Twenty images, of which one cat is labelled as a dog, and one file is no image."""
    folder = make_image_folder(tmp_path_factory.mktemp('images'), per_class=10)
    (folder / 'cats' / 'cats-0-0.jpg').rename(folder / 'dogs' / 'cat.jpg')
    (folder / 'cats' / 'broken.jpg').write_bytes(b'no image')
    return folder


@pytest.fixture(scope='module')
def call(workdir):
    def evaluate(*words):
        options = ['evaluate', '--config=demo', f'--workdir={workdir}', *words]
        return click.testing.CliRunner().invoke(main, [*map(str, options)])

    return evaluate


def result_of(done):
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def metrics_of(found, model='candidate'):
    (overall,) = [each for each in found['evaluation'][model]['slices'] if not each['feature']]
    return overall['images'], overall['metrics']['accuracy']


@pytest.fixture(scope='module')
def live(call, images):
    return result_of(call(images, '--json'))


def test_evaluates_the_live_version_on_all_usable_images(live):
    count, accuracy = metrics_of(live)
    assert (live['version'], live['against'], count) == ('7', None, 20)
    assert accuracy['value'] == 0.95
    assert accuracy['low'] < 0.95 < accuracy['high']
    assert live['evaluation']['candidate']['confusion'] == [[9, 0], [1, 10]]
    assert {each['feature'] for each in live['evaluation']['candidate']['slices']} > {'class'}
    assert live['tally']['bad'] == {'not an image': 1}
    (mistake,) = live['mistakes']
    assert (mistake['filename'], mistake['label'], mistake['predicted']) == (
        'dogs/cat.jpg',
        'dogs',
        'cats',
    )
    assert live['unknown'] == ['7']  # it was not trained here


def test_compares_two_versions_image_by_image(call, images, workdir, make_saved_model):
    make_saved_model(workdir / 'demo' / 'serving' / '6', slope=-0.1)  # always wrong

    found = result_of(call(images, '--against', '6', '--json'))

    assert metrics_of(found) == (20, metrics_of(found)[1])
    assert metrics_of(found, 'reference')[1]['value'] == pytest.approx(0.05)
    comparison = found['comparison']
    assert (comparison['outcome'], comparison['better'], comparison['worse']) == ('better', 19, 1)
    assert [each['filename'] for each in found['worse']] == ['dogs/cat.jpg']
    assert len(found['better']) == 12
    (page,) = (workdir / 'demo' / 'evaluations').glob('7-against-6-*.html')
    assert page.read_text().count('data:image/jpeg;base64,') == 2 + 12 + 1


@pytest.fixture
def trained_on(tmp_path, monkeypatch):
    """`trained_on(files)`: all versions were trained on these files."""

    def write(files):
        index = np.zeros(len(files), TRAINED_IMAGE)
        for row, file in zip(index, files, strict=True):
            row['sha256'] = np.frombuffer(hashlib.sha256(file.read_bytes()).digest(), np.uint8)
        np.save(tmp_path / TRAINED_ON, index)
        monkeypatch.setattr(Provenance, 'model_of', lambda *_: Artifact(uri=str(tmp_path)))

    return write


def test_text_is_of_images_that_the_version_was_not_trained_on(call, images, workdir, trained_on):
    trained_on([*images.glob('dogs/dogs-*.jpg')][:4])

    done = call(images, '--version', '7')

    assert done.exit_code == 0, done.output
    first, *_, last = done.stdout.splitlines()
    assert first == f'version 7 on folder {images}: 16 images, 2 classes (cats, dogs)'
    assert 'on similar ones: 4 images' in done.stdout
    assert 'not known' not in done.stdout
    assert 'dogs/cat.jpg' in done.stdout  # a mistake
    page = workdir / 'demo' / 'evaluations' / last.rpartition('/')[2]
    assert last == f'page: {page}'
    assert page.is_file()


def test_models_of_the_same_name_each_have_their_training_images(
    call, images, tmp_path, workdir, make_saved_model, monkeypatch
):
    files = [*images.glob('dogs/dogs-*.jpg')]
    for name, trained in (('44', files[:4]), ('9', [])):
        make_saved_model(tmp_path / name / 'Format-Serving')
        index = np.zeros(len(trained), TRAINED_IMAGE)
        for row, file in zip(index, trained, strict=True):
            row['sha256'] = np.frombuffer(hashlib.sha256(file.read_bytes()).digest(), np.uint8)
        np.save(tmp_path / name / TRAINED_ON, index)
    monkeypatch.setattr(Provenance, 'model_of', lambda _, model: Artifact(uri=str(model.parent)))

    models = [tmp_path / name / 'Format-Serving' for name in ('44', '9')]
    found = result_of(call(images, '--version', models[0], '--against', models[1], '--json'))

    assert found['held_out'] == {'dropped': 4, 'kept': 16}
    assert (found['version'], found['against']) == ('44/Format-Serving', '9/Format-Serving')
    pages = (workdir / 'demo' / 'evaluations').glob('44-Format-Serving-against-9-Format-Serving-*')
    assert len([*pages]) == 1


def test_images_that_were_all_trained_on_leave_nothing(call, images, trained_on):
    trained_on([*images.rglob('*.jpg')])

    done = call(images)

    assert done.exit_code == USAGE
    assert 'trained on all images, or on similar ones' in done.stderr


def test_reads_other_sources_and_sets_without_a_class(call, images, tmp_path):
    files = [*images.glob('dogs/dogs-*.jpg')]
    for number, file in enumerate(files):
        shutil.copy(file, tmp_path / f'{number}.jpg')
    with (tmp_path / 'labels.csv').open('w') as table:
        csv.writer(table).writerows(
            [('image', 'label'), *((f'{n}.jpg', 'dogs') for n in range(len(files)))]
        )

    found = result_of(call(tmp_path / 'labels.csv', '--json'))

    assert found['evaluation']['candidate']['confusion'] == [[0, 0], [0, len(files)]]


def test_groups_of_a_recipe_of_another_source_are_left_out(call, images, tmp_path):
    recipe = tmp_path / 'demo.yaml'
    recipe.write_text('data: {source: csv, path: a.csv, group_by: {column: subject}}')

    found = result_of(call(images, f'--config={recipe}', '--json'))

    assert metrics_of(found)[0] == 20


def test_divided_spans_are_evaluated_as_a_whole(call, make_image_folder, tmp_path):
    for seed, place in enumerate(('span-1/train', 'span-1/test', 'span-2')):
        make_image_folder(tmp_path / place, per_class=3, seed=seed)

    assert metrics_of(result_of(call(tmp_path, '--json')))[0] == 18


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['nowhere'], 'nowhere does not exist'),
        (['{images}', '--version', '8'], "'8' is neither a folder nor a version"),
        (['{images}', '--against', '8'], "'8' is neither a folder nor a version"),
        (['{images}', '--against', '5'], 'version 5 has 2 classes (a, b), version 7 2 classes'),
        (['{empty}'], 'no images'),
        (['{foxes}'], 'has images of 1 class (foxes), which the model does not know'),
        (['{numbers}'], 'has images with numbers of other classes, which the model does not'),
        (['{broken}'], 'no image can be used: 2 quarantined'),
    ],
)
def test_mistakes_are_one_line(call, images, make_image_folder, tmp_path, words, message):
    make_image_folder(tmp_path / 'foxes', per_class=1, classes=('cats', 'foxes'))
    make_image_folder(tmp_path / 'numbers', per_class=1, classes=('0', '1', '2'))
    for name in ('cats', 'dogs'):
        (tmp_path / 'broken' / name).mkdir(parents=True)
        (tmp_path / 'broken' / name / '1.jpg').write_bytes(b'no image')
    (tmp_path / 'empty').mkdir()
    places = {name: tmp_path / name for name in ('foxes', 'numbers', 'broken', 'empty')}

    done = call(*(word.format(images=images, **places) for word in words))

    assert done.exit_code == USAGE, done.output
    assert message in done.stderr
    assert done.stderr.startswith('error: ')
    assert done.stderr.count('\n') == 1
