"""The number of large images that threads decode at once."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import image_bytes as made
import pytest

from components.image_example_gen.inspection import examine as inspection
from components.image_example_gen.inspection.config import CheckConfig
from components.image_example_gen.inspection.examine import examine
from components.image_example_gen.inspection.headers import Header

_FILES = [
    made.encoded(made.with_alpha(), 'PNG'),
    made.encoded(made.noise(), 'PNG'),
    made.encoded(made.noise(), 'WEBP'),
    made.turned(6),
]


@pytest.fixture
def most_at_once(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """The most images that were between the start of decoding and their last use at once."""
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
    for name in ('decode_with_tensorflow', 'decode_with_pillow'):
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


def test_large_images_are_decoded_one_at_a_time(
    most_at_once: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, '_LARGE', 1000)
    examine_at_once()
    assert most_at_once() == 1


def test_small_images_are_decoded_concurrently(most_at_once: Callable[[], int]) -> None:
    examine_at_once()
    assert most_at_once() > 1


@pytest.mark.parametrize(
    ('header', 'large'),
    [
        (Header('JPEG', 6000, 4000), False),
        (Header('JPEG', 6000, 4000, orientation=6), True),
        (Header('JPEG', 8000, 8000), True),
        (Header('PNG', 6000, 4000), True),
    ],
)
def test_large_image_is_one_whose_decoding_takes_much_memory(header: Header, large: bool) -> None:
    assert inspection._is_large(header) == large
