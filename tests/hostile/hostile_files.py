"""Writes hostile archives, Parquet files, TFRecords and folders."""

import gzip
import json
import struct
import tarfile
import zipfile
from pathlib import Path

import image_bytes
import pyarrow as pa
import pyarrow.parquet as pq

MEBIBYTE = bytes(2**20)
IMAGE = image_bytes.jpeg(image_bytes.noise())


def tar_header(kind: bytes, size: int) -> bytes:
    """A header block."""
    info = tarfile.TarInfo('cats/a.jpg')
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def tar_of_large_header(path: Path, kind: bytes, mebibytes: int) -> Path:
    """A tar.gz that begins with an extended header, complete and full of zeros."""
    with gzip.open(path, 'wb', 1) as file:
        file.write(tar_header(kind, mebibytes * 2**20))
        for _ in range(mebibytes):
            file.write(MEBIBYTE)
    return path


def zip_of_zeros(path: Path, mebibytes: int) -> Path:
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open('cats/a.jpg', 'w', force_zip64=True) as file:
            for _ in range(mebibytes):
                file.write(MEBIBYTE)
        archive.writestr('dogs/b.jpg', IMAGE)
    return path


def parquet_of(path: Path, columns, metadata=None, **options) -> Path:
    """A Parquet file; names of columns may repeat."""
    names, arrays = zip(*columns, strict=True)
    schema = pa.schema([pa.field(n, a.type) for n, a in zip(names, arrays, strict=True)], metadata)
    pq.write_table(pa.Table.from_arrays(list(arrays), schema=schema), path, **options)
    return path


def labelled(images, labels=(0, 1)):
    """The columns of images in turn, with label numbers."""
    return [('image', images), ('label', pa.array([labels[n % 2] for n in range(len(images))]))]


def class_metadata(names) -> dict[str, str]:
    """The metadata that the library `datasets` writes."""
    features = {'label': {'names': names, '_type': 'ClassLabel'}}
    return {'huggingface': json.dumps({'info': {'features': features}})}


PETS = class_metadata(['cat', 'dog'])


def parquet_of_zeros(path: Path, megabytes: int, rows: int) -> Path:
    """Rows with the same cell of zeros, stored once, in the dictionary."""
    size = megabytes * 10**6
    offsets, zeros = (pa.py_buffer(each) for each in (struct.pack('<2q', 0, size), bytes(size)))
    cell = pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, zeros])  # not copied
    table = pa.table({'image': pa.chunked_array([cell] * rows), 'label': [0, 1] * (rows // 2)})
    table = table.replace_schema_metadata(PETS)
    pq.write_table(table, path, compression='zstd', dictionary_pagesize_limit=2**30)
    return path


def texts(*values: bytes) -> pa.Array:
    """A column of strings that may be no UTF-8."""
    offsets = [0]
    for value in values:
        offsets.append(offsets[-1] + len(value))
    buffers = [None, pa.py_buffer(struct.pack(f'<{len(offsets)}i', *offsets))]
    return pa.Array.from_buffers(
        pa.string(), len(values), [*buffers, pa.py_buffer(b''.join(values))]
    )


def record_of_zeros(path: Path, mebibytes: int) -> Path:
    """A compressed TFRecord file with one record."""
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path), 'GZIP') as writer:
        writer.write(bytes(mebibytes * 2**20))
    return path


def doubling_links(folder: Path, levels: int) -> Path:
    """Class folders, one with two links to a folder with two links, and so on."""
    store = folder.parent / 'store'
    for level in range(levels + 1):
        here = folder / 'cats' if level == 0 else store / str(level)
        here.mkdir(parents=True)
        if level < levels:
            for name in 'ab':
                (here / name).symlink_to(store / str(level + 1))
        else:
            (here / 'cat.jpg').write_bytes(IMAGE)
    (folder / 'dogs').mkdir()
    (folder / 'dogs' / 'dog.jpg').write_bytes(IMAGE)
    return folder
