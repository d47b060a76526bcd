"""Names of the features of one example, raw and transformed, and of the model's signatures.

The one place for them: ingestion, schema, Transform, Trainer and Evaluator all import from here.
The raw names follow the TensorFlow Models convention for image `tf.Example`s.
"""

# Raw features, as ExampleGen's records hold them.
IMAGE_BYTES = 'image/encoded'  # bytes of a JPEG or PNG file
IMAGE_FORMAT = 'image/format'  # 'jpeg' or 'png'
LABEL = 'image/class/label'  # int64, index into the list of classes
CLASS_NAME = 'image/class/text'
FILENAME = 'image/filename'
HEIGHT = 'image/height'  # pixels
WIDTH = 'image/width'  # pixels
SHA256 = 'image/key/sha256'  # hexadecimal digest of the bytes as they came
SOURCE = 'image/source'  # where it came from, for slices; not every record has one
ASPECT = 'image/aspect'  # float, width over height
BYTES = 'image/bytes'  # int64, length of the encoded bytes
# Floats, as `components.image_example_gen.inspection.measures` defines them.
BRIGHTNESS = 'image/brightness'
CONTRAST = 'image/contrast'
SHARPNESS = 'image/sharpness'
COLOURFULNESS = 'image/colourfulness'

# Transformed features, as `trainer.preprocessing.preprocessing_fn` gives them.
IMAGE_XF = 'image_xf'  # float32 [batch, size, size, 3], whole numbers from 0 to 255
LABEL_XF = 'label_xf'  # int64 [batch]

# Signatures of the exported model, and the keys of their outputs.
SIGNATURE_EXAMPLES = 'serving_default'  # input: serialised tf.Examples
SIGNATURE_IMAGES = 'serve_images'  # input: bytes of image files
SIGNATURE_EXPLANATION = 'explain_images'  # the same, for a person: also gives a heat map
HEAT_MAP = 'heat_map'  # float32 [batch, height, width], 0..1: Grad-CAM for the class that is said
SIGNATURE_PIXELS = 'serve_pixels'  # input: float32 [batch, size, size, 3] in 0..255, decoded
EXAMPLES_INPUT, IMAGES_INPUT, PIXELS_INPUT = 'examples', 'image_bytes', 'pixels'
# float32, of the second of two classes, [batch, 1], or of each of more, [batch, classes].
PROBABILITY = 'probability'
CLASS = 'class'  # string [batch, 1], name of the likeliest class
LOGIT = 'logit'  # float32, in the shape of the probability
CLASSES_FILE = 'assets.extra/classes.json'  # in the SavedModel: names in the order of their labels

WARMUP_FILE = 'assets.extra/tf_serving_warmup_requests'  # requests with the Trainer's answers

# Folders of the activation cache, inside the Trainer's own.
ACTIVATIONS_PREFIX = 'activations-'

# What there is to look at, inside the Trainer's own.
PICTURES = 'pictures'
HISTORY = 'history.json'

SPLITS = ('train', 'eval', 'test')
SPAN, FINGERPRINT = 'span', 'input_fingerprint'  # properties of Examples, as TFX names them
MANIFEST = 'manifest.json'  # in the folder of a span's records, written when all of them are there
