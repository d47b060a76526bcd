"""Commands and YAML in the documentation are valid: they are parsed, and not run."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from markdown_files import CURRENT_FILES, ROOT, arguments_of, code_blocks, inline_code, name_of

import pipeline_runner
from common.errors import ConfigError
from components.image_example_gen.sources.detect import detect
from pipeline.config.recipe import Recipe, parse_override, recipe_of

_PROGRAM = re.compile(r'(?:\S*python\S* )?(?:\S*/)?(?:pipeline_runner\.py|catdog-pipeline) (.*)')
_TARGETS = set(re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE))
_OTHER_YAML = ('apiVersion', 'images', 'resources')  # of Kubernetes
_OPTION = re.compile(r'(--[a-z-_]+)[ =]?(.*)')
_OPTION_DEFAULT = re.compile(r'`(--[a-z-]+)` \((?:default )?`?([^`)]+)`?\)')
_OF_OTHER_PROGRAMS = (
    '--build-arg',  # of buildah
    '--help',  # of all programs
    '--max_num_load_retries',  # of TensorFlow Serving
    '--model_base_path',
    '--namespace',  # of kubectl
    '--secret',
    '--serve-artifacts',  # of mlflow
)
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
    source = detect(values.get('data') or '').source
    for override in values.get('overrides', ()):
        if not _PLACEHOLDER.search(override):
            data = [('data.source', source)] if command.name == 'init' else []
            recipe_of({'name': 'checked'}, [*data, parse_override(override)])


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
        problem = _problem_of_yaml(block.language, block.text)
        problem = problem or _problem_of_python(block.language, block.text)
        if problem:
            found.append(f'line {block.line}: {problem}')
    for line, code in inline_code(file):
        if code.startswith('make ') and not _PLACEHOLDER.search(code):
            try:
                _check_targets(arguments_of(code)[1:])
            except ValueError as error:
                found.append(f'line {line}: {code}: {error}')
        elif (match := _OPTION.match(code)) and not _PLACEHOLDER.search(code):
            problems = _problems_of_option(*match.groups(), file.parent)
            found += [f'line {line}: {each}' for each in problems]
    for option, stated in _OPTION_DEFAULT.findall(file.read_text(encoding='utf-8')):
        defaults = [each.default for each in _OPTIONS.get(option, ())]
        if yaml.safe_load(stated) not in defaults:
            found.append(f'{option}: the default is {defaults}, not {stated}')
    return found


def _options_of(command: click.Command) -> Iterator[click.Parameter]:
    yield from command.params
    if isinstance(command, click.Group):
        for each in (command.get_command(None, name) for name in command.list_commands(None)):
            yield from _options_of(each)


def _problems_of_option(option: str, value: str, folder: Path) -> list[str]:
    """Mistakes in an option; it may be that of another program, or of a script in the folder."""
    if option not in _OPTIONS:
        scripts = (script.read_text(encoding='utf-8') for script in folder.glob('*.py'))
        known = option in _OF_OTHER_PROGRAMS or any(f"'{option}'" in text for text in scripts)
        return [] if known else [f'{option}: no command has this option']
    if option == '--set' and value:
        try:
            recipe_of({'name': 'checked'}, [parse_override(value)])
        except ConfigError as error:
            return [f'{option} {value}: {error}']
    return []


def _check_targets(arguments: list[str]) -> None:
    for each in arguments:
        if '=' not in each and each not in _TARGETS:
            raise ValueError(f'the Makefile has no target {each}')


def _problem_of_python(language: str, text: str) -> str | None:
    try:
        ast.parse(text if language == 'python' else '')
    except SyntaxError as error:
        return f'no Python: {error}'
    return None


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


_OPTIONS: dict[str, list[click.Parameter]] = defaultdict(list)  # of all commands, by name
for _parameter in _options_of(pipeline_runner.main):
    for _name in _parameter.opts:
        _OPTIONS[_name].append(_parameter)


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
        ('```python\nwith model(:\n```\n', 'no Python'),
        ('Call `make chek`.\n', 'no target chek'),
        ('Add `--dta`.\n', '--dta: no command has this option'),
        ('Add `--set trainer.sed=1`.\n', 'trainer.sed'),
        ('On `--port` (64).\n', 'the default is [8501], not 64'),
    ],
)
def test_mistakes_are_found(tmp_path, text, problem):
    file = tmp_path / 'guide.md'
    file.write_text(text)

    (found,) = problems_of(file)

    assert problem in found
