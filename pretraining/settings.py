"""Settings of a pretraining, and the digest of its code."""

import dataclasses
import hashlib
import math
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Counts:
    """Numbers of classes per formula, and of drawings per class."""

    assemblies: int = 512
    contours: int = 128
    fractals: int = 256
    textures: int = 256
    figures_each: int = 48
    textures_each: int = 24


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a pretraining; the defaults produce the embedded weights.

    Attributes:
        size: side of a scene in pixels.
        steps: number of batches.
        warm_up: fraction of the steps in which the learning rate rises.
        foothold: accuracy on figures above which the difficulty rises, and below which it falls.
        pace: change of the difficulty per step.
        save_every: steps between checkpoints.
    """

    seed: int = 0
    size: int = 64
    batch: int = 128
    steps: int = 15_000
    learning_rate: float = 3e-3
    warm_up: float = 0.02
    weight_decay: float = 1e-2
    foothold: float = 0.3
    pace: float = 5e-4
    save_every: int = 1000
    counts: Counts = dataclasses.field(default_factory=Counts)

    def learning_rate_at(self, step: int) -> float:
        """Learning rate: linear warm-up, then cosine decay to zero; `step` counts from 0."""
        warm_up = max(1, round(self.warm_up * self.steps))
        if step < warm_up:
            return self.learning_rate * (step + 1) / warm_up
        share = (step - warm_up) / max(1, self.steps - warm_up)
        return self.learning_rate * (1 + math.cos(math.pi * share)) / 2


def code_digest() -> str:
    """Digest of all source files of this package."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob('*.py')):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:12]
