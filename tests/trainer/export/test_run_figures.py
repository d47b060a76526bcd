"""Files of a training for the report page: the table of the network and augmented views."""

import json

import numpy as np
import tensorflow as tf

from trainer.export.run_figures import write_augmented_views, write_network


def parts_of(job, folder):
    network = job.build_network()
    write_network(folder, network)
    *backbone, head = json.loads((folder / 'network.json').read_text())
    return network, backbone, head


def test_network_has_a_part_per_size_and_the_head(tmp_path, small_job):
    network, backbone, head = parts_of(small_job(head={'hidden': [8]}), tmp_path)
    assert [part['size'] for part in backbone] == [16, 8, 4, 2, 1]
    assert backbone[-1]['channels'] == 1280
    assert sum(part['layers'] for part in backbone) == 52
    parameters = sum(part['parameters'] for part in backbone)
    assert parameters == network.backbone.model.count_params()
    assert head == {
        'size': None,
        'channels': 1,
        'layers': 2,
        'parameters': 1281 * 8 + 9,
        'trained': 1281 * 8 + 9,
    }


def test_network_counts_fine_tuned_parameters(tmp_path, small_job):
    network, backbone, _ = parts_of(small_job(), tmp_path)
    trained = network.backbone.model.layers[network.backbone.first_trained :]
    total = sum(layer.count_params() for layer in trained)
    assert sum(part['trained'] for part in backbone) == total
    assert [part['trained'] > 0 for part in backbone] == [False, False, False, False, True]
    _, frozen, _ = parts_of(small_job(fine_tune={'epochs': 0}), tmp_path)
    assert not any(part['trained'] for part in frozen)


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
