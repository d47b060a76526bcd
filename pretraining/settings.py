"""What a pretraining follows from: its settings, and the code that it runs."""

import dataclasses
import hashlib
import math
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Counts:
    """Classes of each formula, and drawings of each class."""

    assemblies: int = 512
    contours: int = 128
    fractals: int = 256
    textures: int = 256
    figures_each: int = 48
    textures_each: int = 24


@dataclasses.dataclass(frozen=True)
class Settings:
    """The defaults are those of the embedded weights.

    Attributes:
        size: of scenes, in pixels.
        steps: of `batch` scenes each.
        warm_up: share of the steps in which the learning rate rises.
        foothold: share of figures recognised from which on scenes become more difficult.
        pace: by how much difficulty rises in a step, or falls below the foothold.
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
        """Rises in a line, then falls to zero along a cosine; `step` counts from 0."""
        warm_up = max(1, round(self.warm_up * self.steps))
        if step < warm_up:
            return self.learning_rate * (step + 1) / warm_up
        share = (step - warm_up) / max(1, self.steps - warm_up)
        return self.learning_rate * (1 + math.cos(math.pi * share)) / 2


def code_digest() -> str:
    """Changes with any file of this package."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob('*.py')):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:12]
