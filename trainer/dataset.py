"""Images of one split as a `tf.data.Dataset`, through the transform graph."""

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_transform as tft

from trainer import features

_SHARDS_AT_ONCE = 4


def read_images(
    file_patterns: Sequence[str], transform: tft.TFTransformOutput, batch_size: int
) -> tf.data.Dataset:
    """Reads, decodes and resizes the images of one split, once, in the order of the files.

    Args:
        file_patterns: gzipped TFRecords of raw `tf.Example`s, as ExampleGen writes them.
        transform: the graph that Transform has written.
        batch_size: images per batch; the last batch may be smaller.

    Returns:
        Batches of images, uint8 [batch, size, size, 3], and labels, float32 [batch].
    """
    raw_spec = {
        name: spec
        for name, spec in transform.raw_feature_spec().items()
        if name in (features.IMAGE_BYTES, features.LABEL)
    }
    transform_layer = transform.transform_features_layer()

    def decode(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        transformed = transform_layer(tf.io.parse_example(serialized, raw_spec))
        images = tf.cast(transformed[features.IMAGE_XF], tf.uint8)
        return images, tf.cast(transformed[features.LABEL_XF], tf.float32)

    files = tf.data.Dataset.list_files(list(file_patterns), shuffle=False)
    records = files.interleave(
        lambda path: tf.data.TFRecordDataset(path, compression_type='GZIP'),
        cycle_length=_SHARDS_AT_ONCE,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    batches = records.batch(batch_size)
    return batches.map(decode, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
