"""ImageExampleGen: converts labelled images to TFRecords of `tf.Example`."""
