"""Makes `stored_run.tar.xz`, a run on the legacy stack for `test_upgrade.py`.

Run it on the legacy stack, in an empty folder: `python .../tests/e2e/make_stored_run.py`. All paths
in the run begin with `/proc/self/cwd`, so it can be unpacked anywhere and used from that folder.
The weights repeat a short pattern, which leaves a few hundred kilobytes.
"""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import keras
import numpy as np
import PIL.Image

REPOSITORY = Path(__file__).parents[2]
ARCHIVE = Path(__file__).with_name('stored_run.tar.xz')
FOLDER = '/proc/self/cwd'
WEIGHTS = 'pattern.weights.h5'
STORED = ('pets', 'squares.yaml', 'squares')  # images, recipe and runs
NOT_STORED = ('logs', '.lock')
RECIPE = f"""
description: bright and dark squares
workdir: {FOLDER}
data: {{source: folder, path: {FOLDER}/pets}}
trainer:
  image_size: 32
  alpha: 0.35
  weights: {FOLDER}/{WEIGHTS}
  batch_size: 8
  feature_extraction: {{epochs: 20, learning_rate: 0.01}}
evaluation:
  minimum: 0.5
  margin: 0.5
  robustness: {{images: 0}}
"""


def write_images(folder: Path, per_class: int) -> None:
    """Writes dark and bright noise."""
    random = np.random.default_rng(0)
    for name, brightness in (('cats', 60), ('dogs', 190)):
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            pixels = random.normal(brightness, 20, (32, 32, 3)).clip(0, 255)
            file = folder / name / f'{number}.jpg'
            PIL.Image.fromarray(pixels.astype(np.uint8)).save(file)
            os.utime(file, (0, number))  # part of the fingerprint; tar has whole seconds


def write_weights(file: Path) -> None:
    """Writes weights of MobileNetV2 that repeat a pattern of signs."""
    signs = np.random.default_rng(0).choice([-1, 1], 257)
    model = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, include_top=False, weights=None)
    for weights in model.weights:
        if 'kernel' in weights.name:  # the others belong to batch norm
            height, width, channels, filters = weights.shape
            inputs = height * width * (1 if filters == 1 else channels)
            weights.assign(np.resize(signs, weights.shape) * np.sqrt(2 / inputs))
    model.save_weights(file)


def main() -> None:
    write_images(Path('pets'), per_class=30)
    write_weights(Path(WEIGHTS))
    Path('squares.yaml').write_text(RECIPE)
    words = [sys.executable, REPOSITORY / 'pipeline_runner.py', 'run', '--config=squares.yaml']
    subprocess.run(words, check=True, env={**os.environ, 'LOGNAME': 'ada'})
    with tarfile.open(ARCHIVE, 'w:xz', preset=9) as archive:
        for name in STORED:
            archive.add(name, filter=anonymous)


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Removes the owner, and leaves out logs, which contain names of this machine."""
    if Path(member.name).name in NOT_STORED:
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ''
    member.mtime = int(member.mtime)
    return member


if __name__ == '__main__':
    main()
