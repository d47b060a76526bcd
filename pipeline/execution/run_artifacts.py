"""Finds the output artifacts of a run, and files in them."""

from pathlib import Path

from common.artifacts import content_of
from common.features import JUDGED_ONLY
from common.metadata_queries import Node, custom_property
from components.image_example_gen.image_example_gen import EXAMPLES

Results = dict[str, Node]  # by node id


def folder(results: Results, node: str, key: str) -> Path:
    """The folder of the first output artifact of a node."""
    return content_of(results[node].outputs[key][0].uri)


def file_of(results: Results, node: str, key: str, name: str) -> Path | None:
    """A file in an output artifact; None if the run has no such node, output or file."""
    if node not in results or not results[node].outputs.get(key):
        return None
    file = folder(results, node, key) / name
    return file if file.is_file() else None


def example_folders(results: Results) -> list[Path]:
    """Folders of the records that the model was trained on, one per span, oldest first."""
    artifacts = results['ImageExampleGen'].outputs[EXAMPLES]
    return [content_of(each.uri) for each in artifacts if not custom_property(each, JUDGED_ONLY)]
