"""Adds class names and a description of inputs and outputs to a TensorFlow Lite model.

The format is TensorFlow Lite Metadata: a flatbuffer of the schema `metadata_schema.fbs` (identifier
M001) in a buffer of the model, and the files that it names as a zip archive at the end of the file.
MediaPipe, the TensorFlow Lite Task Library and Android Studio read it. `tflite-support`, which
writes it, has no release for Python 3.12, so the few tables are built here; the numbers of their
fields are those of the schema.
"""

import io
import zipfile
from collections.abc import Sequence

import flatbuffers
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from common import features

LABELS_FILE = 'labels.txt'  # in the zip archive: class names, one per line
_BUFFER = 'TFLITE_METADATA'  # name of the buffer in a model
_IDENTIFIER = b'M001'
_PARSER = '1.0.0'  # the first one knows all that is used here
_AXIS_LABELS, _IMAGE, _RGB, _NORMALIZATION = 2, 2, 1, 1  # values of enums and unions
_FLOAT_BYTES = _OFFSET_BYTES = 4

_DESCRIPTIONS = {
    features.PROBABILITY: 'probability of the second of two classes, or of each of three or more',
    features.SCORES: 'probability of each class',
    features.LOGIT: 'the probability before sigmoid or softmax',
}


def add_metadata(model: bytes, classes: Sequence[str], size: int) -> bytes:
    """Returns a model with metadata and labels; `size` is the width of its input in pixels.

    The labels are those of the last axis of the first output with an entry per class.
    """
    parsed = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    buffer = schema.BufferT()
    buffer.data = list(_describe(parsed, classes, size))
    entry = schema.MetadataT()
    entry.name, entry.buffer = _BUFFER, len(parsed.buffers)
    parsed.buffers.append(buffer)
    parsed.metadata = [*(parsed.metadata or ()), entry]
    stream = io.BytesIO(bytes(flatbuffer_utils.convert_object_to_bytearray(parsed)))
    with zipfile.ZipFile(stream, 'a', zipfile.ZIP_STORED) as archive:  # readers map it
        # Without the time, equal models are equal files.
        archive.writestr(zipfile.ZipInfo(LABELS_FILE), '\n'.join(classes).encode())
    return stream.getvalue()


def _describe(model: schema.ModelT, classes: Sequence[str], size: int) -> bytes:
    """Builds the flatbuffer `ModelMetadata`."""
    graph, (signature,) = model.subgraphs[0], model.signatureDefs
    names = {each.tensorIndex: each.name.decode() for each in signature.outputs}
    outputs = [names[index] for index in graph.outputs]
    labelled = features.SCORES if features.SCORES in outputs else features.PROBABILITY
    writer = _Writer()
    subgraph = writer.table(
        {
            2: writer.vector([_input(writer, size)]),
            3: writer.vector(
                [_output(writer, name, labelled=name == labelled) for name in outputs]
            ),
        }
    )
    root = writer.table(
        {
            0: writer.text('image classifier'),
            1: writer.text(f'classes: {", ".join(classes)}'),
            3: writer.vector([subgraph]),
            7: writer.text(_PARSER),
        }
    )
    writer.builder.Finish(root, _IDENTIFIER)
    return bytes(writer.builder.Output())


def _input(writer: '_Writer', size: int) -> int:
    """Builds the `TensorMetadata` of the input: pixels in 0..255, which are not normalized."""
    image = writer.table({1: writer.table({}, numbers={0: size, 1: size})}, small={0: _RGB})
    options = writer.table({0: writer.floats([0.0]), 1: writer.floats([1.0])})  # mean, deviation
    return writer.table(
        {
            0: writer.text(features.PIXELS_INPUT),
            1: writer.text('RGB image, 0 to 255, transparency on white'),
            3: writer.table({1: image}, small={0: _IMAGE}),
            4: writer.vector([writer.table({1: options}, small={0: _NORMALIZATION})]),
            5: writer.table({0: writer.floats([255.0]), 1: writer.floats([0.0])}),  # max, min
        }
    )


def _output(writer: '_Writer', name: str, *, labelled: bool) -> int:
    """Builds the `TensorMetadata` of an output."""
    fields = {0: writer.text(name), 1: writer.text(_DESCRIPTIONS[name])}
    if labelled:
        file = {0: writer.text(LABELS_FILE), 1: writer.text('class names by index')}
        fields[6] = writer.vector([writer.table(file, small={2: _AXIS_LABELS})])
    return writer.table(fields)


class _Writer:
    """Writes flatbuffer tables, given by the numbers of their fields; returns their offsets."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder()

    def table(
        self,
        offsets: dict[int, int],
        small: dict[int, int] | None = None,
        numbers: dict[int, int] | None = None,
    ) -> int:
        """Writes a table of texts, vectors and tables, of bytes, and of 32-bit numbers."""
        small, numbers = small or {}, numbers or {}
        self.builder.StartObject(max([*offsets, *small, *numbers], default=-1) + 1)
        for slot, offset in offsets.items():
            self.builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        for slot, value in numbers.items():
            self.builder.PrependUint32Slot(slot, value, 0)
        for slot, value in small.items():
            self.builder.PrependInt8Slot(slot, value, 0)
        return int(self.builder.EndObject())

    def vector(self, offsets: Sequence[int]) -> int:
        """Writes a vector of tables."""
        self.builder.StartVector(_OFFSET_BYTES, len(offsets), _OFFSET_BYTES)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def floats(self, values: Sequence[float]) -> int:
        """Writes a vector of float32 numbers."""
        self.builder.StartVector(_FLOAT_BYTES, len(values), _FLOAT_BYTES)
        for value in reversed(values):
            self.builder.PrependFloat32(value)
        return int(self.builder.EndVector())

    def text(self, text: str) -> int:
        return int(self.builder.CreateString(text))
