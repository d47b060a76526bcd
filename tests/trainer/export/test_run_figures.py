"""Files of a training for the report page: the table of the network and augmented views."""

import json

import numpy as np
import tensorflow as tf

from trainer.export.run_figures import write_augmented_views, write_network


def parts_of(job, folder):
    write_network(folder, job.build_network())
    return json.loads((folder / 'network.json').read_text())


def part(size, channels, layers, parameters, trained):
    numbers = {'layers': layers, 'parameters': parameters, 'trained': trained}
    return {'size': size, 'channels': channels, **numbers}


def test_network_has_a_part_per_size_and_the_head(tmp_path, small_job):
    large = 3 * 9 * 8 + 4 * 8 + 8 * 16 + 4 * 16 + 9 * 16 + 4 * 16 + 16 * 8 + 4 * 8
    last, head = 9 * 8 * 16 + 4 * 16, 16 * 8 + 8 + 8 + 1
    parts = parts_of(small_job(head={'hidden': [8]}), tmp_path)
    assert parts == [
        part(8, 8, 4, large, 0),
        part(4, 16, 1, last, last),
        part(None, 1, 2, head, head),
    ]


def test_network_counts_trained_parameters(tmp_path, small_job):
    for stage, trained in (
        ({'epochs': 0}, [False, False, True]),
        ({'epochs': 1, 'from_layer': 'block_1_project'}, [True, True, True]),
    ):
        parts = parts_of(small_job(fine_tune=stage), tmp_path)
        assert [part['trained'] > 0 for part in parts] == trained
    assert parts[0]['trained'] == 16 * 8 + 4 * 8


def test_views_show_one_image_augmented(tmp_path, small_job):
    job = small_job(augment={'flip': True, 'rotation': 0.2})
    write_augmented_views(tmp_path, job)
    sheet = tf.io.decode_png((tmp_path / 'figures/augmented_views.png').read_bytes()).numpy()
    assert sheet.shape == (2 * 32, 6 * 32, 3)
    image = next(iter(job.splits['train'].batches(1)))[0][0].numpy()
    np.testing.assert_array_equal(sheet[:32, :32], image)
    assert (sheet[32:, :32] != image).any()


def test_omits_views_without_augmentation(tmp_path, small_job):
    write_augmented_views(tmp_path, small_job())
    assert not list(tmp_path.iterdir())
