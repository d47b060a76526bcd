"""ImageExampleGen: labelled images to TFRecords of `tf.Example`."""
