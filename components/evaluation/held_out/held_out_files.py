"""Files of HeldOutFilter: counts of test images, and the images that are left out."""

from collections.abc import Iterable
from pathlib import Path

from common.strict_model import StrictModel

HELD_OUT_FILE = 'held_out.json'  # in the artifact's folder: a HeldOut
_DROPPED = 'dropped.txt'


class HeldOut(StrictModel):
    """Numbers of different test images."""

    dropped: int  # left out: a model was trained on them, a near-duplicate or their group
    kept: int  # models are judged on them


def write_held_out(folder: Path, counts: HeldOut, dropped: Iterable[str]) -> None:
    """Writes the counts, and the digests of the images that are left out."""
    (folder / HELD_OUT_FILE).write_text(counts.model_dump_json(indent=1))
    (folder / _DROPPED).write_text(''.join(f'{digest}\n' for digest in sorted(dropped)))


def read_held_out(folder: Path) -> HeldOut:
    """Reads the counts."""
    return HeldOut.model_validate_json((folder / HELD_OUT_FILE).read_bytes())


def read_dropped(folder: Path) -> frozenset[str]:
    """Reads the hexadecimal digests (`common.features.SHA256`) of the images to leave out."""
    return frozenset((folder / _DROPPED).read_text().split())
