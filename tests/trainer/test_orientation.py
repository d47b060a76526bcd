"""The orientation that ingestion reads is that of the serving graph."""

import struct

import image_bytes as made
import numpy as np
import tensorflow as tf

from common.orientation import read_orientation
from trainer.orientation import turn_upright

ORIENTATION, MODEL = 0x0112, 0x0110
TEXT, SHORT, LONG = 2, 3, 4
PNG = made.encoded(made.quarters(), 'PNG')
MARK = np.array([[[1], [2]], [[3], [4]]])  # each orientation moves these to other places


def exif(*entries, order='<', magic=42, start=8, count=None, prefix=b''):
    """EXIF data of tags with type, number and value."""
    head = {'<': b'II', '>': b'MM'}[order] + struct.pack(f'{order}HI', magic, start)
    body = b''.join(struct.pack(f'{order}HHI', *each[:3]) + each[3] for each in entries)
    number = len(entries) if count is None else count
    return prefix + head + struct.pack(f'{order}H', number) + body + bytes(20)


def short(value, order='<'):
    return struct.pack(f'{order}HH', value, 0)


def long(value, order='<'):
    return struct.pack(f'{order}I', value)


def upright(value, order='<'):
    return (ORIENTATION, SHORT, 1, short(value, order))


def jpeg(payload, contents=None):
    return made.with_app1(contents or made.jpeg(), b'Exif\0\0' + payload)


def png(payload, start=33):
    return PNG[:start] + made.chunk(b'eXIf', payload) + PNG[start:]


ORIENTATIONS = {f'{kind} {number}': number for kind in ('JPEG', 'PNG') for number in range(1, 9)}
FILES = {
    **{name: made.turned(number, name[:-2]) for name, number in ORIENTATIONS.items()},
    **{f'big endian {n}': made.turned(n, byte_order='>') for n in (3, 6)},
    '0': jpeg(exif(upright(0))),
    '9': jpeg(exif(upright(9))),
    '2**31': jpeg(exif((ORIENTATION, LONG, 1, long(2**31)))),
    'as LONG': jpeg(exif((ORIENTATION, LONG, 1, long(3)))),
    'as text': jpeg(exif((ORIENTATION, TEXT, 2, long(6)))),
    'no value': jpeg(exif((ORIENTATION, SHORT, 0, short(6)))),
    'two values': jpeg(exif((ORIENTATION, SHORT, 2, short(6)))),
    'no tags': jpeg(exif(upright(6), count=0)),
    'twice': jpeg(exif(upright(6), upright(3))),
    'BigTIFF': jpeg(exif(upright(6), magic=43)),
    'other order in magic': jpeg(b'II\0*' + exif(upright(6))[4:]),
    'after a value outside': jpeg(exif((MODEL, TEXT, 8, long(5000)), upright(6))),
    'after a value inside': jpeg(exif((MODEL, TEXT, 8, long(10)), upright(6))),
    'tag of unknown type': jpeg(exif((MODEL, 99, 2**31, long(5000)), upright(6))),
    '300 tags': jpeg(exif(*[(40_000 + n, SHORT, 1, short(1)) for n in range(300)], upright(6))),
    'truncated head': jpeg(b'MM'),
    'directory outside': jpeg(exif(upright(6), start=60_000)),
    'truncated entry': jpeg(exif(upright(6), count=5)[:-20]),
    'prefixed PNG': png(exif(upright(6), prefix=b'Exif\0\0')),
    'twice prefixed PNG': png(exif(upright(6), prefix=b'Exif\0\0' * 2)),
    'PNG, big endian': png(exif(upright(8, '>'), order='>')),
    'at the end of a PNG': png(exif(upright(3)), len(PNG) - 12),
    'after the end of a PNG': png(exif(upright(3)), len(PNG)),
    'two chunks': png(exif(upright(3)))[:-12] + png(exif(upright(6)))[33:],
    'two segments': jpeg(exif(upright(3)), jpeg(exif(upright(6)))),
    'after a text segment': made.with_app1(jpeg(exif(upright(6))), b'http://ns.adobe.com/xap/'),
    'after fill bytes': jpeg(exif(upright(6))).replace(b'\xff\xe1', b'\xff\xff\xff\xe1', 1),
    'after garbage': jpeg(exif(upright(6))).replace(b'\xff\xe1', b'\0\1\xff\xe1', 1),
    'after the scan': made.jpeg()[:-2] + jpeg(exif(upright(6)))[2:],
    'length above the file': jpeg(exif(upright(6)))[:40],
    'a GIF': made.encoded(made.quarters(), 'GIF'),
}


def test_ingestion_and_graph_read_the_same_orientation():
    turn = tf.function(
        lambda contents: turn_upright(tf.constant(MARK), contents),
        input_signature=[tf.TensorSpec([], tf.string)],
        autograph=False,
    )
    for name, contents in FILES.items():
        graph = turn(contents).numpy()
        ours = read_orientation(contents)
        assert ours == ORIENTATIONS.get(name, ours)
        pixels = MARK.swapaxes(0, 1) if ours >= 5 else MARK
        pixels = pixels[:, ::-1] if ours in (2, 3, 6, 7) else pixels
        pixels = pixels[::-1] if ours in (3, 4, 7, 8) else pixels
        np.testing.assert_array_equal(pixels, graph, err_msg=f'{name}: {ours}')
