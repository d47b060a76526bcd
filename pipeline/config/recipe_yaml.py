"""Parses the YAML of recipes, within limits of size, nesting and repetition."""

from typing import Any

import yaml

from common.errors import ConfigError

MAX_BYTES = 200_000  # of a file; 10,000 values take a second to parse
_MAX_VALUES = 10_000  # with the values that aliases repeat
_MAX_DEPTH = 20
_LARGEST = 1e15  # larger numbers overflow when they are multiplied with units


def parse_yaml(text: str) -> Any:
    """Parses one YAML document of plain values.

    Raises:
        ConfigError: it is not YAML, has a duplicate key, too many or too deeply nested values, or a
            value that its type does not allow. The message has the position, and no values, which
            may be secrets.
    """
    try:
        return yaml.load(text, _BoundedLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f'line {mark.line + 1}, column {mark.column + 1}: ' if mark else ''
        raise ConfigError(f'{where}{error.problem or error.context}') from None
    except ValueError:  # of the scanner: `%YAML` with a version of thousands of digits
        raise ConfigError('a number has too many digits') from None
    except yaml.YAMLError as error:  # of the reader: a character that YAML does not allow
        raise ConfigError(' '.join(str(error).split())) from None


class _BoundedLoader(yaml.SafeLoader):
    """Checks values while they are composed, before any of them is constructed."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._values = 0
        self._sizes: dict[yaml.Node, int] = {}  # values in each finished node, itself included

    def compose_node(self, parent: Any, index: Any) -> Any:
        event, before = self.peek_event(), self._values
        if self._depth == _MAX_DEPTH:
            raise _error(f'values are nested more than {_MAX_DEPTH} deep', event)
        self._depth += 1
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        if not isinstance(event, yaml.AliasEvent):
            self._values += 1
            self._sizes[node] = self._values - before
        elif node in self._sizes:
            self._values += self._sizes[node]
        else:
            raise _error('a value contains itself', event)
        if self._values > _MAX_VALUES:
            raise _error(f'more than {_MAX_VALUES:,} values, with those that aliases repeat', event)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Rejects duplicate keys, of which YAML would keep the last."""
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in lines:
                    before = lines[key.value]
                    raise _error(f'duplicate key {key.value[:80]!r}, see line {before}', key)
                lines[key.value] = key.start_mark.line + 1
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, OverflowError):
            kind = node.tag.rpartition(':')[2][:80]
            raise _error(f'not a valid value of type {kind}', node) from None
        if isinstance(value, int | float) and abs(value) > _LARGEST:
            raise _error(f'number out of range, above {_LARGEST:g}', node)
        return value


def _error(problem: str, place: Any) -> yaml.MarkedYAMLError:  # a node or an event
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)
