"""Files of a training for the report page: the table of the network and augmented views."""

import json

import numpy as np
import tensorflow as tf

from trainer.export.run_figures import write_augmented_views, write_network


def parts_of(job, folder):
    write_network(folder, job.build_network())
    return [tuple(part.values()) for part in json.loads((folder / 'network.json').read_text())]


def test_network_has_a_part_per_size_and_the_head(tmp_path, small_job):
    large = 3 * 9 * 8 + 4 * 8 + 8 * 16 + 4 * 16 + 9 * 16 + 4 * 16 + 16 * 8 + 4 * 8
    last, head = 9 * 8 * 16 + 4 * 16, 16 * 8 + 8 + 8 + 1
    parts = parts_of(small_job(head={'hidden': [8]}), tmp_path)
    assert parts == [(8, 8, 4, large, 0), (4, 16, 1, last, last), (None, 1, 2, head, head)]


def test_network_counts_trained_parameters(tmp_path, small_job):
    last, head = 9 * 8 * 16 + 4 * 16, 16 + 1
    from_projection = {'epochs': 1, 'from_layer': 'block_1_project'}
    for stage, trained in (
        ({'epochs': 0}, [0, 0, head]),
        (from_projection, [16 * 8 + 4 * 8, last, head]),
    ):
        assert [part[-1] for part in parts_of(small_job(fine_tune=stage), tmp_path)] == trained


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
