"""Parses the YAML of recipes: plain values, without anchors, aliases and duplicate keys."""

from typing import Any

import yaml

from common.errors import ConfigError


def parse_yaml(text: str) -> Any:
    """Parses one YAML document; the ConfigError has the position, and no values."""
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f'line {mark.line + 1}, column {mark.column + 1}: ' if mark else ''
        raise ConfigError(f'{where}{error.problem or error.context}') from None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise ConfigError(' '.join(str(error).split())) from None
    except (RecursionError, ValueError, LookupError, AttributeError):  # such as `2026-99-01`
        raise ConfigError('a value does not fit its type, or is nested too deeply') from None


class _Loader(yaml.SafeLoader):
    """An alias can repeat a value millions of times; of duplicate keys YAML keeps the last."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if getattr(event, 'anchor', None):
            raise _error('anchors (&) and aliases (*) are not supported; quote such a text', event)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                raise _error(f'duplicate key {key.value[:80]!r}', key)
            keys.add(str(key.value))
        return super().construct_mapping(node, deep)


def _error(problem: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)
