"""The protocol buffer `tf.train.Example`, without TensorFlow: a limited process cannot import it.

See `tensorflow/core/example/example.proto`; the map of features is a list of entries here, which is
the same on the wire.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

_PACKAGE = 'catdog'


def _message(name: str, **fields: str) -> dict[str, Any]:
    """A message of fields, numbered from 1; `*` is before the type of a repeated one."""
    described = []
    for number, (field, kind) in enumerate(fields.items(), start=1):
        label = 'LABEL_REPEATED' if kind.startswith('*') else 'LABEL_OPTIONAL'
        kind = kind.removeprefix('*')
        known = {'type': f'TYPE_{kind.upper()}'}
        message = {'type': 'TYPE_MESSAGE', 'typeName': f'.{_PACKAGE}.{kind}'}
        kinds = message if kind[0].isupper() else known
        described.append({'name': field, 'number': number, 'label': label, **kinds})
    return {'name': name, 'field': described}


_MESSAGES = [
    _message('BytesList', value='*bytes'),
    _message('FloatList', value='*float'),
    _message('Int64List', value='*int64'),
    _message('Feature', bytes_list='BytesList', float_list='FloatList', int64_list='Int64List'),
    _message('Entry', key='bytes', value='Feature'),
    _message('Features', feature='*Entry'),
    _message('Example', features='Features'),
]
_FILE = {
    'name': 'example.proto',
    'package': _PACKAGE,
    'syntax': 'proto3',
    'messageType': _MESSAGES,
}
_pool = descriptor_pool.DescriptorPool()
_pool.Add(json_format.ParseDict(_FILE, descriptor_pb2.FileDescriptorProto()))
_Example: Any = message_factory.GetMessageClass(_pool.FindMessageTypeByName(f'{_PACKAGE}.Example'))


def features_of(record: bytes) -> dict[str, Any]:
    """The values of each feature of a serialised `tf.Example`, a sequence of bytes, floats or ints.

    Raises google.protobuf.message.DecodeError if the record is none.
    """
    entries = _Example.FromString(record).features.feature
    return {
        entry.key.decode(errors='replace'): (
            entry.value.bytes_list.value
            or entry.value.int64_list.value
            or entry.value.float_list.value
        )
        for entry in entries
    }
