"""Names of features, model signatures and files that several packages share.

Raw features follow the TensorFlow Models convention for image `tf.Example`s.
"""

# Raw features of ExampleGen's records.
IMAGE_BYTES = 'image/encoded'  # bytes of a JPEG or PNG file
IMAGE_FORMAT = 'image/format'  # 'jpeg' or 'png'
LABEL = 'image/class/label'  # int64, index into the list of classes
CLASS_NAME = 'image/class/text'
FILENAME = 'image/filename'
HEIGHT = 'image/height'  # pixels
WIDTH = 'image/width'  # pixels
SHA256 = 'image/key/sha256'  # hexadecimal digest of the original bytes
SOURCE = 'image/source'  # optional: origin of the image, for slices
ASPECT = 'image/aspect'  # float, width over height
BYTES = 'image/bytes'  # int64, length of the encoded bytes
# Floats, see `components.image_example_gen.inspection.measures`.
BRIGHTNESS = 'image/brightness'
CONTRAST = 'image/contrast'
SHARPNESS = 'image/sharpness'
COLOURFULNESS = 'image/colourfulness'

# Transformed features, see `trainer.preprocessing.preprocessing_fn`.
IMAGE_XF = 'image_xf'  # float32 [batch, size, size, 3], whole numbers from 0 to 255
LABEL_XF = 'label_xf'  # int64 [batch]

# Signatures of the exported model, their inputs and outputs.
SIGNATURE_EXAMPLES = 'serving_default'  # input: serialised tf.Examples
SIGNATURE_IMAGES = 'serve_images'  # input: bytes of image files
SIGNATURE_EXPLANATION = 'explain_images'  # as serve_images, with a heat map
HEAT_MAP = 'heat_map'  # float32 [batch, height, width], 0..1: Grad-CAM for the predicted class
SIGNATURE_PIXELS = 'serve_pixels'  # input: float32 [batch, size, size, 3] in 0..255, decoded
EXAMPLES_INPUT, IMAGES_INPUT, PIXELS_INPUT = 'examples', 'image_bytes', 'pixels'
# float32 [batch, 1] of the second of two classes, or [batch, classes] of three or more.
PROBABILITY = 'probability'
CLASS = 'class'  # string [batch, 1], name of the predicted class
LOGIT = 'logit'  # float32, shaped like the probability
SCORES = 'scores'  # float32 [batch, classes], output of models in other formats: probabilities
CLASSES_FILE = 'assets.extra/classes.json'  # in the SavedModel: class names by label
FINE_TUNING_FILE = 'assets.extra/fine_tuning.json'  # what `auto` of the recipe stood for
PUSH_NOTE = 'assets.extra/push.json'  # metadata of a push, in the folder of its version
WARMUP_FILE = 'assets.extra/tf_serving_warmup_requests'  # requests with the Trainer's predictions

# In the Trainer's output folder.
ACTIVATIONS = 'activations'  # next to the Trainer's run folders: the activation cache
INTERRUPTED = 'interrupted'  # next to the Trainer's run folders: trainings that did not end
HISTORY = 'history.json'
EVENTS = 'tensorboard'  # folder of event files
CALIBRATION = 'calibration.json'
NETWORK = 'network.json'
AUGMENTED_VIEWS = 'figures/augmented_views.png'

SPLITS = ('train', 'eval', 'test')
SPAN, FINGERPRINT = 'span', 'input_fingerprint'  # custom properties of Examples, named by TFX
EARLIER = 'earlier_ingestion'  # custom property of Examples: folder of those whose splits are kept
# Custom property of Examples: JSON, fingerprints by number of the spans that are there, not read.
OTHER_SPANS = 'other_spans'
TEST_IMAGES = 'test_images'  # custom property of predictions: digest of the test split
JUDGED_ONLY = 'judged_only'  # custom property of Examples of a span that is not trained on
# In the folder of a span's records: `manifest.json` is written last; `index.npy` has an entry per
# image (`components.image_example_gen.ingestion.duplicates.IMAGE`).
MANIFEST, INDEX = 'manifest.json', 'index.npy'
FIXED = 3  # in the index, `part` from this number on: the source has chosen the split
MEGAPIXELS = 64  # default of `data.checks.max_megapixels`
