"""What a cached training depends on besides its data: the code, and a file of weights."""

import hashlib
from pathlib import Path

import components
import trainer
from trainer.model.weights import weights_file


def code_hash() -> str:
    """Changes when the code of the trainer or of a component changes; caches depend on it."""
    digest = hashlib.sha256()
    for package in (components, trainer):
        root = Path(package.__path__[0])
        for path in sorted(root.rglob('*.py')):
            digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def content_hash(weights: str) -> str:
    """The digest of a file of weights, embedded or given; others are what they are called."""
    path = weights_file(weights)
    if path is None or not path.is_file():
        return weights
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
