"""The set of figures of a training."""

import PIL.Image

from trainer.figures.gallery import draw_gallery
from trainer.training.stage_history import StageHistory

METRICS = {
    'loss': (0.6, 0.4),
    'val_loss': (0.5, 0.45),
    'accuracy': (0.7, 0.8),
    'val_accuracy': (0.7, 0.8),
}
HISTORY = [StageHistory('stage 1, head', METRICS, 2, 0)]


def test_draws_all_figures(tmp_path, small_job):
    job = small_job(augment={'flip': True, 'rotation': 0.2})
    draw_gallery(tmp_path, job, job.build_network(), HISTORY)
    assert 'stage 1, head' in (tmp_path / 'curves.svg').read_text()
    assert 'fine-tuning begins at block_14_expand' in (tmp_path / 'architecture.svg').read_text()
    for name in ('training_images.png', 'augmented_views.png'):
        with PIL.Image.open(tmp_path / name) as picture:
            assert picture.width > 500


def test_omits_views_without_augmentation_and_boundary_without_fine_tuning(tmp_path, small_job):
    job = small_job(fine_tune={'epochs': 0})
    draw_gallery(tmp_path, job, job.build_network(), HISTORY)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {'curves.svg', 'training_images.png', 'architecture.svg'}
    assert 'fine-tuning' not in (tmp_path / 'architecture.svg').read_text()
