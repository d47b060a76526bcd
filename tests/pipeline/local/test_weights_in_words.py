"""What a run says of the weights it starts from, and what its cache depends on."""

import pytest

from pipeline.cache_key import content_hash
from pipeline.local.run_recipe import describe_weights
from trainer.config.train import TrainConfig
from trainer.model import weights


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        (
            {'weights': 'embedded'},
            'pretrained: embedded, on images made by formulas (no photograph, no download)',
        ),
        ({'weights': 'imagenet'}, 'pretrained: imagenet'),
        ({'weights': 'mine.weights.h5'}, 'pretrained: mine.weights.h5'),
        (
            {'weights': 'random'},
            'from a random start: no pretrained weights are used; the frozen layers stay random',
        ),
        (
            {'weights': 'embedded', 'warm_start': 'latest_blessed'},
            'of the last blessed model if there is one, else: embedded',
        ),
    ],
)
def test_one_sentence_says_what_the_backbone_starts_from(changes, said):
    trainer = TrainConfig.model_validate({'image_size': 96, 'alpha': 0.35, **changes})
    assert describe_weights(trainer) == f'MobileNetV2 0.35 at 96x96, {said}'


def test_the_cache_depends_on_what_is_in_the_embedded_file(tmp_path, monkeypatch):
    path = tmp_path / 'embedded.weights.h5'
    monkeypatch.setattr(weights, 'EMBEDDED_FILE', path)
    path.write_bytes(b'first')
    before = content_hash('embedded')
    assert before == content_hash(str(path))
    path.write_bytes(b'second')
    assert content_hash('embedded') != before


def test_other_keywords_are_what_they_are_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'random').write_text('a file')
    assert [content_hash(word) for word in ('random', 'imagenet')] == ['random', 'imagenet']
