"""Files of a training for the report page: the table of the network and augmented views."""

import json

import numpy as np
import tensorflow as tf

from trainer.export.run_figures import write_augmented_views, write_network

PROJECTION, LAST, HEAD = 16 * 8 + 8, 9 * 8 * 16 + 16, 16 * 8 + 8 + 8 + 1
LARGE = 3 * 9 * 8 + 8 + 8 * 16 + 16 + 9 * 16 + 16 + PROJECTION


def test_network_has_a_part_per_size_and_the_head(tmp_path, small_job):
    stage = {'epochs': 1, 'from_layer': 'block_1_project'}
    job = small_job(head={'hidden': [8]}, fine_tune=stage)
    write_network(tmp_path, job.build_network())
    parts = [tuple(part.values()) for part in json.loads((tmp_path / 'network.json').read_text())]
    large, last = (8, 8, 4, LARGE, PROJECTION), (4, 16, 1, LAST, LAST)
    assert parts == [large, last, (None, 1, 2, HEAD, HEAD)]


def test_layers_that_weigh_channels_make_no_part(tmp_path, small_job):
    job = small_job(backbone='MobileNetV3Small', image_size=64, fine_tune={'epochs': 0})
    write_network(tmp_path, job.build_network())
    parts = json.loads((tmp_path / 'network.json').read_text())
    assert [part['size'] for part in parts] == [32, 16, 8, 4, 2, None]
    assert {part['trained'] for part in parts[:-1]} == {0}


def test_views_show_one_image_augmented(tmp_path, small_job):
    write_augmented_views(tmp_path, small_job())
    assert not list(tmp_path.iterdir())  # no augmentation
    job = small_job(augment={'flip': True, 'rotation': 0.2})
    write_augmented_views(tmp_path, job)
    sheet = tf.io.decode_png((tmp_path / 'figures/augmented_views.png').read_bytes()).numpy()
    assert sheet.shape == (2 * 32, 6 * 32, 3)
    image = next(iter(job.splits['train'].batches(1)))[0][0].numpy()
    np.testing.assert_array_equal(sheet[:32, :32], image)
    assert (sheet[32:, :32] != image).any()
