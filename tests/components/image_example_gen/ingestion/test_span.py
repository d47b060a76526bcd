import hashlib

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from image_bytes import encoded
from made_images import (
    CLASSES,
    MemoryShard,
    labelled,
    memory_source,
    picture,
    shard_of,
    value,
)

from common import features
from common.errors import DataError
from components.image_example_gen.ingestion import transforms
from components.image_example_gen.ingestion.quarantine import read_quarantined
from components.image_example_gen.sources.base.data_config import DataConfig

BY_NAME = {'source': 'folder', 'group_by': {'pattern': '^([a-z]+)-'}}


@pytest.fixture(scope='module')
def near(forty):
    """A near-duplicate of each image in `forty`."""
    return [
        labelled(encoded(picture(seed=n), quality=90), f'{CLASSES[n % 2]}/near-{n}.jpg', n % 2)
        for n in range(40)
    ]


@pytest.fixture(scope='module')
def mixed(forty):
    """Good images, bad ones, a duplicate, and an image under two labels."""
    return [
        *forty,
        labelled(forty[3].contents[:300], 'dogs/cut.jpg', 1),
        labelled(b'', 'cats/empty.jpg'),
        labelled(b'oh', '../../cats/../.. /etc/p@sswd\n.jpg'),
        forty[0]._replace(label=1, filename='dogs/same.jpg'),
        forty[1]._replace(filename='dogs/again.jpg'),
    ]


def test_writes_every_image_once_to_its_split(ingest, forty):
    written = ingest(memory_source(forty, per_shard=15))

    contents = [value(example, features.IMAGE_BYTES) for example in written.examples()]
    assert sorted(contents) == sorted(image.contents for image in forty)
    assert (written.ingested.tally.seen, written.ingested.tally.bad) == (40, {})
    assert len(list(written.records.glob('Split-*/data_tfrecord-0000?-of-00003'))) == 9
    index = np.load(written.records / features.INDEX)
    for number, split in enumerate(features.SPLITS):
        examples = written.examples(split)
        found = [value(each, features.CLASS_NAME).decode() for each in examples]
        assert {name: found.count(name) for name in CLASSES} == written.ingested.counts[split]
        digests = {bytes(each).hex() for each in index['sha256'][index['split'] == number]}
        assert digests == {value(each, features.SHA256).decode() for each in examples}


def test_example_has_canonical_features_and_original_bytes(ingest):
    contents = encoded(picture())
    image = labelled(contents, 'dogs/b.jpg', 1)._replace(source='phone')
    (example,) = ingest([image]).examples()

    found = {name: value(example, name) for name in example.features.feature}
    for name in ('brightness', 'contrast', 'sharpness', 'colourfulness'):
        assert found.pop(f'image/{name}') > 0
    assert found == {
        'image/encoded': contents,
        'image/format': b'jpeg',
        'image/class/label': 1,
        'image/class/text': b'dogs',
        'image/filename': b'dogs/b.jpg',
        'image/height': 48,
        'image/width': 64,
        'image/aspect': pytest.approx(64 / 48),
        'image/bytes': len(contents),
        'image/key/sha256': hashlib.sha256(contents).hexdigest().encode(),
        'image/source': b'phone',
    }


def test_order_and_workers_change_no_split(ingest, forty, near):
    def threads():
        options = {'direct_running_mode': 'multi_threading', 'direct_num_workers': 3}
        return beam.Pipeline(options=PipelineOptions(**options))

    images = [*forty, *near]
    found = ingest(memory_source(images, per_shard=30)).split_of()
    other_order = memory_source(sorted(images, key=lambda image: -image.label), per_shard=20)
    assert len(found) == 80
    assert ingest(other_order, pipeline=threads).split_of() == found


def test_bad_images_are_counted_and_listed_with_reasons(ingest, mixed):
    written = ingest(memory_source(mixed, per_shard=20))

    quarantined = {line['source']: line for line in read_quarantined(written.quarantine)}
    assert {name: line['reason'] for name, line in quarantined.items()} == {
        'dogs/cut.jpg': 'truncated',
        'cats/empty.jpg': 'empty',
        '../../cats/../.. /etc/p@sswd\n.jpg': 'not an image',
        'cats/0.jpg': 'under two labels',
        'dogs/same.jpg': 'under two labels',
    }
    assert 'also labelled cats' in quarantined['dogs/same.jpg']['detail']
    assert not written.split_of().keys() & quarantined.keys()
    tally = written.ingested.tally
    bad = {'truncated': 1, 'empty': 1, 'not an image': 1, 'under two labels': 2}
    assert (tally.bad, tally.duplicates, tally.seen) == (bad, 1, 45)
    assert tally.used == len(written.examples()) == 39
    records = {'Split-train', 'Split-eval', 'Split-test', 'index.npy', 'manifest.json'}
    assert {each.name for each in written.records.iterdir()} == records
    assert [each.name for each in written.quarantine.iterdir()] == ['quarantined.jsonl']


@pytest.mark.parametrize(('known', 'repeated'), [('window', 10), ('earlier', 0)])
def test_images_follow_near_duplicates_in_other_spans_and_before(
    ingest, forty, near, known, repeated
):
    first = ingest(forty)
    before = first.split_of()

    written = ingest([*near[:20], *forty[20:30]], **{known: [first]})
    after = written.split_of()
    assert all(after[near[n].filename] == before[forty[n].filename] for n in range(20))
    assert all(after[image.filename] == before[image.filename] for image in forty[20:30])
    assert written.ingested.tally.repeated == repeated


def grouped(images, names='abcdefghij'):
    """Gives each image one of the groups in turn, and a file name that begins with it."""
    return [
        image._replace(group=names[n % len(names)], filename=f'{names[n % len(names)]}-{n}.jpg')
        for n, image in enumerate(images)
    ]


def test_groups_stay_in_one_split(ingest, forty):
    first = ingest([*grouped(forty[:20]), *forty[30:]], **BY_NAME)
    second = ingest(grouped(forty[20:30]), window=[first], **BY_NAME)

    splits = {}
    for name, split in {**first.split_of(), **second.split_of()}.items():
        splits.setdefault(name.partition('-')[0], set()).add(split)
    assert all(len(splits[name]) == 1 for name in 'abcdefghij')
    assert set.union(*splits.values()) == {'train', 'eval', 'test'}
    assert first.ingested.tally.ungrouped == 10
    with pytest.raises(DataError, match=r'group_by.pattern: .* gives none of 4 images'):
        ingest(forty[:4], **BY_NAME)


def test_unreadable_source_file_is_an_error_without_manifest(ingest, forty, tmp_path_factory):
    with pytest.raises(DataError, match=r'^pets\.parquet is cut off$'):
        ingest(memory_source(forty[:9], error=DataError('pets.parquet is cut off')))

    folders = tmp_path_factory.getbasetemp().glob('span*')
    assert not list(max(folders, key=lambda each: each.stat().st_mtime).rglob('manifest.json'))


def test_repeated_attempts_write_equal_files(tmp_path, mixed):
    """A cluster repeats the steps of a lost worker, which may still be running."""
    shards, outer = transforms.Shards(tmp_path, CLASSES, DataConfig()), mixed[:9]

    class Shard(MemoryShard):
        def images(self):
            yield from outer[:5]
            transforms.examine_shard((0, shard_of(outer)), shards)
            found.append(files())
            yield from outer[5:]

    def files():
        return {each.name: each.read_bytes() for each in tmp_path.glob('[!.]*')}

    found = []
    transforms.examine_shard((0, Shard(DataConfig(), ())), shards)
    assert files() == found[0]
    assigned = 0, np.arange(len(shards.result(0).entries)) % 3
    transforms.divide_shard(assigned, shards)
    divided = files()
    transforms.divide_shard(assigned, shards)
    assert files() == divided
    assert not [*tmp_path.glob('.*')]
