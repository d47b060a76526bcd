"""Finds output artifacts of a run and files in them."""

from pathlib import Path

from common.artifacts import folder_of
from components.image_example_gen.component import EXAMPLES
from pipeline.execution.launch import NodeResult

Results = dict[str, NodeResult]  # by node id


def file_of(results: Results, node: str, key: str, name: str) -> Path | None:
    """A file in an output artifact; None if the run has no such node, output or file."""
    artifacts = results[node].outputs.get(key) if node in results else None
    file = folder_of(artifacts[0].uri) / name if artifacts else None
    return file if file and file.is_file() else None


def example_folders(results: Results) -> list[Path]:
    """Folders of the records, one per span."""
    nodes = [results[name] for name in ('ImageExampleGen', 'ImportExampleGen') if name in results]
    return [folder_of(artifact.uri) for node in nodes for artifact in node.outputs[EXAMPLES]]
