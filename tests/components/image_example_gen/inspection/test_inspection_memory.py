"""How many images are in memory as pixels at once."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import image_bytes as made
import pytest
from components.image_example_gen.inspection.formats.header import Header

from components.image_example_gen.inspection import examine as inspection
from components.image_example_gen.inspection.config import CheckConfig
from components.image_example_gen.inspection.examine import examine

_FILES = [
    made.encoded(made.with_alpha(), 'PNG'),
    made.encoded(made.noise(), 'PNG'),
    made.encoded(made.noise(), 'WEBP'),
    made.turned(6),
]


@pytest.fixture
def most_at_once(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many images were between the begin of their decoding and their last use at once."""
    lock, now, counts = threading.Lock(), set[int](), [0]

    def enter(decode: Callable[..., object]) -> Callable[..., object]:
        def decode_slowly(*arguments: object) -> object:
            with lock:
                now.add(threading.get_ident())
                counts.append(len(now))
            time.sleep(0.05)
            return decode(*arguments)

        return decode_slowly

    def leave(*arguments: object) -> bytes:
        with lock:
            now.remove(threading.get_ident())
        return hashed(*arguments)

    hashed = inspection.perceptual_hash
    for name in ('with_tensorflow', 'with_pillow'):
        decode = getattr(inspection.decoding, name)
        monkeypatch.setattr(inspection.decoding, name, enter(decode))
    monkeypatch.setattr(inspection, 'perceptual_hash', leave)
    return lambda: max(counts)


def examine_at_once() -> None:
    barrier = threading.Barrier(len(_FILES))

    def examine_one(contents: bytes) -> None:
        barrier.wait(30)
        examine(contents, CheckConfig())

    with ThreadPoolExecutor(len(_FILES)) as pool:
        list(pool.map(examine_one, _FILES))


def test_two_large_images_are_never_decoded_at_once(
    most_at_once: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, '_LARGE', 1000)
    examine_at_once()
    assert most_at_once() == 1


def test_small_images_do_not_wait_for_each_other(most_at_once: Callable[[], int]) -> None:
    examine_at_once()
    assert most_at_once() > 1


def test_photographs_of_a_usual_size_do_not_wait_and_what_takes_more_does() -> None:
    large = inspection._is_large
    photograph = Header(6000, 4000, whole=True)
    assert not large(photograph, 'JPEG')
    assert large(photograph, 'PNG')
    assert large(Header(6000, 4000, whole=True, orientation=6), 'JPEG')
    assert large(Header(8000, 8000, whole=True), 'JPEG')
