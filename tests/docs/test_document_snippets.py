"""Commands and YAML in the documentation are valid: they are parsed, and not run."""

import re
from pathlib import Path

import click
import pytest
import yaml
from markdown_files import CURRENT_FILES, ROOT, arguments_of, code_blocks, inline_code, name_of

import pipeline_runner
from common.errors import ConfigError
from pipeline.config.recipe import Recipe, parse_override, recipe_of

_PROGRAM = re.compile(r'(?:\S*python\S* )?(?:\S*/)?(?:pipeline_runner\.py|catdog-pipeline) (.*)')
_TARGETS = set(re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE))
_OTHER_YAML = ('apiVersion', 'images', 'resources')  # of Kubernetes
_PLACEHOLDER = re.compile(r'[A-Z]{2,}|\.\.\.')


def check_command(arguments: list[str]) -> None:
    """Parses the arguments as the program does, with the keys and values of `--set`.

    Raises:
        click.UsageError: there is no such command, option or argument.
        ConfigError: there is no such key, or its value is invalid.
    """
    context = click.Context(pipeline_runner.main)
    command: click.Command = pipeline_runner.main
    while isinstance(command, click.Group) and arguments:
        found = command.get_command(context, arguments[0])
        if found is None:
            break
        command, arguments = found, arguments[1:]
    if command is pipeline_runner.main and arguments not in (['--help'], ['--version']):
        raise click.UsageError(f'no such command: {arguments[:1]}')
    if arguments == ['--help']:
        return
    values = command.make_context(command.name, [*arguments], resilient_parsing=False).params
    for override in values.get('overrides', ()):
        if not _PLACEHOLDER.search(override):
            recipe_of({'name': 'checked'}, [parse_override(override)])


def problems_of(file: Path) -> list[str]:
    found = []
    for block in code_blocks(file):
        for line in block.command_lines:
            try:
                if match := _PROGRAM.match(line):
                    check_command(arguments_of(match[1]))
                elif line.startswith('make '):
                    _check_targets(arguments_of(line)[1:])
            except (click.UsageError, ConfigError, ValueError) as error:
                found.append(f'line {block.line}: {line}: {error}')
        if (problem := _problem_of_yaml(block.language, block.text)) is not None:
            found.append(f'line {block.line}: {problem}')
    for line, code in inline_code(file):
        if code.startswith('make ') and not _PLACEHOLDER.search(code):
            try:
                _check_targets(arguments_of(code)[1:])
            except ValueError as error:
                found.append(f'line {line}: {code}: {error}')
    return found


def _check_targets(arguments: list[str]) -> None:
    for each in arguments:
        if '=' not in each and each not in _TARGETS:
            raise ValueError(f'the Makefile has no target {each}')


def _problem_of_yaml(language: str, text: str) -> str | None:
    """Says why a YAML block is no part of a recipe; None if it is one, or something else."""
    if language not in ('yaml', ''):
        return None
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return str(error) if language else None
    if not isinstance(values, dict) or any(key in values for key in _OTHER_YAML):
        return None
    if not language and not values.keys() <= Recipe.model_fields.keys():
        return None
    try:
        # A search may change the fine-tuning, which the defaults do not have.
        recipe_of({'name': 'snippet', 'trainer': {'fine_tune': {'epochs': 1}}, **values})
    except ConfigError as error:
        return str(error)
    return None


@pytest.mark.parametrize('file', CURRENT_FILES, ids=name_of)
def test_commands_and_yaml_are_valid(file):
    assert problems_of(file) == []


@pytest.mark.parametrize(
    ('text', 'problem'),
    [
        ('    pipeline_runner.py runn\n', 'no such command'),
        ('    catdog-pipeline run --dta x\n', 'No such option'),
        ('    $ .venv/bin/python pipeline_runner.py run \\\n        --set trainer.sed=1\n', 'seed'),
        ('    make chek\n', 'no target chek'),
        ('```yaml\ntrainer: {batch_size: 0}\n```\n', 'batch_size'),
        ('```yaml\ntrainer: [\n```\n', 'parsing'),
        ('Call `make chek`.\n', 'no target chek'),
    ],
)
def test_mistakes_are_found(tmp_path, text, problem):
    file = tmp_path / 'guide.md'
    file.write_text(text)

    (found,) = problems_of(file)

    assert problem in found
