"""Conversion to TensorFlow Lite, compared with the SavedModel."""

import io
import subprocess
import sys
import zipfile
from collections import Counter

import flatbuffers
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from bright_model import gray
from example_records import write_records
from flatbuffers import number_types
from flatbuffers.table import Table
from tensorflow.lite.tools import flatbuffer_utils

from common import features
from components.conversion.lite import component, conversion
from components.conversion.lite.component import write_lite_models
from components.conversion.lite.config import LITE_FILE, LiteConfig
from components.conversion.results import ConversionResult
from components.conversion.sample import read_pixels, representative_images
from trainer.data.dataset import ImageSplit
from trainer.data.record_files import open_records

SIZE = 32
# A process without TensorFlow: predictions of a model for the images in an .npy file.
PREDICT = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
model, images, output = sys.argv[1:]
run = Interpreter(model_path=model).get_signature_runner()
found = [run(pixels=image[None].astype(np.float32))['probability'] for image in np.load(images)]
np.save(output, np.concatenate(found))
assert 'tensorflow' not in sys.modules
"""


def png(pixels):
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels).save(stream, 'png')
    return stream.getvalue()


def decode(records):
    parsed = tf.io.parse_example(
        records,
        {
            features.IMAGE_BYTES: tf.io.FixedLenFeature([], tf.string),
            features.LABEL: tf.io.FixedLenFeature([], tf.int64),
        },
    )
    one = lambda image: tf.ensure_shape(tf.io.decode_png(image), (SIZE, SIZE, 3))  # noqa: E731
    images = tf.map_fn(one, parsed[features.IMAGE_BYTES], fn_output_signature=tf.uint8)
    return images, tf.cast(parsed[features.LABEL], tf.float32)[:, tf.newaxis]


def make_split(path, images, labels):
    labels = [*map(int, labels)]
    write_records(
        path,
        (
            {features.IMAGE_BYTES: png(image), features.LABEL: label}
            for image, label in zip(images, labels, strict=True)
        ),
    )
    return ImageSplit(open_records([path], tf.io.FixedLenFeature([], tf.int64)), decode)


@pytest.fixture(scope='module')
def written(bright_model_folder, noisy_images, judged, tmp_path_factory):
    target = tmp_path_factory.mktemp('lite')
    return write_lite_models(
        bright_model_folder, noisy_images[::4], judged, LiteConfig(), 0.5, target
    ), target


def test_evaluates_all_models_on_same_images(written):
    result, folder = written
    assert ConversionResult.model_validate_json((folder / LITE_FILE).read_text()) == result
    assert result.images == 40
    assert result.saved_model.value == pytest.approx(39 / 40)
    assert result.saved_model.low < 39 / 40 < result.saved_model.high
    assert [model.format for model in result.models] == ['float16', 'int8']
    for model in result.models:
        assert model.accuracy == result.saved_model
        assert model.agreement == 1
        assert model.within_bound
        assert model.megabytes == (folder / model.file).stat().st_size / 1e6
    assert result.pushed == ('float16.tflite', 'int8.tflite')


@pytest.mark.parametrize(('name', 'error'), [('float16', 2e-3), ('int8', 0.05)])
def test_predictions_are_close_to_saved_model(
    bright_model_folder, noisy_images, written, tmp_path, name, error
):
    """Also with LiteRT, the runtime of phones, which does not need TensorFlow."""
    serve = tf.saved_model.load(str(bright_model_folder)).signatures[features.SIGNATURE_PIXELS]
    wanted = serve(tf.constant(noisy_images, tf.float32))[features.PROBABILITY]
    file = written[1] / f'{name}.tflite'
    found = conversion.probabilities(file.read_bytes(), noisy_images)
    assert found.shape == wanted.shape == (40, 1)
    np.testing.assert_allclose(found, wanted, atol=error)
    np.save(tmp_path / 'images.npy', noisy_images)
    arguments = (file, tmp_path / 'images.npy', tmp_path / 'found.npy')
    subprocess.run([sys.executable, '-c', PREDICT, *arguments], check=True, timeout=100)
    np.testing.assert_allclose(np.load(tmp_path / 'found.npy'), found, atol=error)


def test_files_have_labels_and_describe_inputs_and_outputs(written):
    """Read with the schema of the format by field numbers, and the labels as a zip archive."""
    for name in ('float16', 'int8'):
        contents = (written[1] / f'{name}.tflite').read_bytes()
        with zipfile.ZipFile(io.BytesIO(contents)) as archive:
            assert archive.read('labels.txt').decode().split('\n') == ['cats', 'dogs']
        model = flatbuffer_utils.convert_bytearray_to_object(bytearray(contents))
        (entry,) = [each for each in model.metadata if each.name == b'TFLITE_METADATA']
        metadata = bytes(model.buffers[entry.buffer].data)
        assert metadata[4:8] == b'M001'
        (graph,) = tables(root(metadata), 3)
        (pixels,), outputs = tables(graph, 2), tables(graph, 3)
        assert text(pixels, 0) == 'pixels'
        size = child(child(child(pixels, 3), 1), 1)
        assert [number(size, slot) for slot in (0, 1)] == [SIZE, SIZE]
        files = {text(output, 0): tables(output, 6) for output in outputs}
        assert {name: [text(file, 0) for file in each] for name, each in files.items()} == {
            'logit': [],
            'probability': [],
            'scores': ['labels.txt'],
        }
        # The names are in the order of the tensors.
        interpreter = tf.lite.Interpreter(model_content=contents)
        shapes = [tuple(each['shape']) for each in interpreter.get_output_details()]
        wanted = {'logit': (1, 1), 'probability': (1, 1), 'scores': (1, 2)}
        assert shapes == [wanted[text(output, 0)] for output in outputs]


def test_scores_are_the_probabilities_of_both_classes(noisy_images, written):
    contents = (written[1] / 'float16.tflite').read_bytes()
    run = tf.lite.Interpreter(model_content=contents).get_signature_runner()
    found = run(pixels=noisy_images[:1].astype(np.float32))
    probability = found['probability'][0, 0]
    np.testing.assert_allclose(found['scores'], [[1 - probability, probability]], atol=1e-6)


def root(contents):
    """The root table of a flatbuffer."""
    packer = flatbuffers.packer
    return Table(bytearray(contents), flatbuffers.encode.Get(packer.uoffset, contents, 0))


def child(table, slot):
    return Table(table.Bytes, table.Indirect(table.Pos + offset(table, slot)))


def tables(table, slot):
    """The tables of a vector; none if the field is missing."""
    if not offset(table, slot):
        return []
    start, count = table.Vector(offset(table, slot)), table.VectorLen(offset(table, slot))
    return [Table(table.Bytes, table.Indirect(start + 4 * each)) for each in range(count)]


def text(table, slot):
    return table.String(table.Pos + offset(table, slot)).decode()


def number(table, slot):
    return table.Get(number_types.Uint32Flags, table.Pos + offset(table, slot))


def offset(table, slot):
    return table.Offset(4 + 2 * slot)


def test_int8_has_integer_tensors_and_float_inputs(written):
    interpreter = tf.lite.Interpreter(model_path=str(written[1] / 'int8.tflite'))
    kinds = {np.dtype(each['dtype']).name for each in interpreter.get_tensor_details()}
    (taken,) = interpreter.get_input_details()
    assert taken['dtype'] is np.float32
    assert {each['dtype'] for each in interpreter.get_output_details()} == {np.float32}
    assert 'int8' in kinds


@pytest.mark.parametrize('wrong', [0.0, np.nan])
def test_inaccurate_model_is_written_but_not_pushed(
    bright_model_folder, noisy_images, judged, tmp_path, monkeypatch, wrong
):
    given = np.where(np.arange(40) < 30, wrong, judged.labels)[:, np.newaxis]
    accuracy = (given[:, 0] == judged.labels).mean()
    monkeypatch.setattr(conversion, 'convert', lambda *_: b'lite')
    monkeypatch.setattr(conversion, 'probabilities', lambda *_: given)
    monkeypatch.setattr(component, 'add_metadata', lambda contents, *_: contents)
    config = LiteConfig(formats=['int8'], max_drop=0.1)

    result = write_lite_models(bright_model_folder, noisy_images, judged, config, 0.5, tmp_path)

    assert result.pushed == ()
    assert (tmp_path / 'int8.tflite').read_bytes() == b'lite'
    assert f'SavedModel 0.9750, int8 {accuracy:.4f} (not pushed)' in result.describe()
    assert result.models[0].agreement == pytest.approx(accuracy, abs=0.026)  # one wrong label


def test_calibration_images_do_not_depend_on_the_order_of_a_source(tmp_path):
    """A split that is sorted by class has images of one class first."""
    labels = np.repeat([0, 1, 2], [30, 6, 2])
    images = np.random.default_rng(1).integers(0, 256, (38, SIZE, SIZE, 3)).astype(np.uint8)
    orders = {'sorted': range(38), 'reversed': range(37, -1, -1)}

    first, again = (
        representative_images(
            make_split(tmp_path / name / 'records', images[[*order]], labels[[*order]]), 15
        )
        for name, order in orders.items()
    )

    np.testing.assert_array_equal(first, again)
    by_image = dict(zip((each.tobytes() for each in images), labels.tolist(), strict=True))
    assert Counter(by_image[each.tobytes()] for each in first) == {0: 7, 1: 6, 2: 2}


def test_reads_pixels_of_chosen_images(tmp_path):
    """Gray images of 48x32, in the order of the keys."""
    file = tmp_path / 'test' / 'records'
    grays = [gray(20 * number, 0) for number in range(6)]
    write_records(
        file, ({features.IMAGE_BYTES: each.contents, features.LABEL: 0} for each in grays)
    )

    pixels = read_pixels([file], [grays[4].key, grays[1].key], SIZE)

    assert pixels.shape == (2, SIZE, SIZE, 3)
    assert pixels.mean(axis=(1, 2, 3)).tolist() == [80, 20]
