"""The command line: names the commands, and imports the module of one when it is called."""

import sys

try:
    import ast
    import pkgutil
    from pathlib import Path

    import click

    from common import console, stack
    from pipeline import commands
    from pipeline.commands.error_handling import CommandLine
except KeyboardInterrupt:
    sys.exit(130)  # without the traceback of an import

COMMANDS = {  # the function of each, in a module of `pipeline.commands`
    'init': 'init:init',
    'run': 'run:run',
    'evaluate': 'evaluate:evaluate',
    'runs': 'runs:runs',
    'report': 'report:report',
    'models': 'models:models',
    'predict': 'predict:predict',
    'export': 'export:export',
    'serve': 'serve:serve',
    'compile': 'cluster:compile_',
    'submit': 'cluster:submit',
    'schedule': 'schedule:schedule',
    'clean': 'models:clean',
    'config': 'runs:config',
}
_EXIT_CODES = (
    'Exit codes: 0 done; 1 a component, push, image or request failed; 2 wrong usage, '
    'configuration, data or model; 3 run finished, and the model is not blessed; 4 files of '
    'earlier runs are not on this machine; 130 interrupted.'
)


class LazyGroup(CommandLine):
    """A group that imports only the command that is called, so that `--help` is fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = pkgutil.resolve_name(f'pipeline.commands.{COMMANDS[cmd_name]}')
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section('Commands'):
            formatter.write_dl([(name, _summary(place)) for name, place in COMMANDS.items()])


def _summary(place: str) -> str:
    """The first paragraph of a command's docstring, read without importing its module."""
    module, _, function = place.partition(':')
    source = Path(*commands.__path__, f'{module}.py').read_text('utf-8')
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return (ast.get_docstring(node) or '').partition('\n\n')[0]
    raise KeyError(place)


def _version(_: click.Context) -> str:
    from importlib.metadata import version  # 30 ms; `--help` does without

    return f'catdog-pipeline {version("catdog-pipeline")}, {stack.describe()}'


@click.group(
    cls=LazyGroup, context_settings={'help_option_names': ['-h', '--help']}, epilog=_EXIT_CODES
)
@click.custom_version_option(_version, help='Print the versions of the project and of its stack.')
@click.pass_context
def main(context: click.Context) -> None:
    """Train, evaluate and push an image classifier with TFX."""
    context.with_resource(console.output_to(sys.stdout))


if __name__ == '__main__':
    main()
