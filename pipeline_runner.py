"""The command line: names the commands, and imports the module of one when it is called."""

import sys

try:
    import importlib

    import click

    from common import console
    from pipeline.commands.error_handling import CommandLine
    from pipeline.commands.options import version_option
except KeyboardInterrupt:
    sys.exit(130)  # without the traceback of an import

# By name: the module in `pipeline.commands` with the command, and its line in the list of commands.
COMMANDS = {
    'init': ('init:init', 'Write a recipe for the images in a folder.'),
    'run': ('runs:run', 'Run a recipe on this machine, from images to a pushed model.'),
    'runs': ('runs:runs_', 'List the live versions, ticks, and the last runs.'),
    'report': ('report:report', 'Open the report of a run, or compare two.'),
    'models': ('models:models', 'List, show, roll back, bless or unbless versions.'),
    'predict': ('predict:predict', 'Predict the classes of images.'),
    'serve': ('serve:serve', 'Serve the live model over HTTP.'),
    'compile': ('cluster:compile_', 'Compile a recipe for Kubeflow Pipelines 2.'),
    'submit': ('cluster:submit', 'Run a recipe on Kubeflow Pipelines, now or on a schedule.'),
    'schedule': ('cluster:schedule', 'Retrain on a schedule on this machine.'),
    'clean': ('models:clean', 'Remove the artifacts of old runs.'),
    'config': ('runs:config', 'Print a recipe with the value of every key.'),
}


class LazyGroup(CommandLine):
    """A group that imports only the command that is called, so that `--help` is fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(':')
        command: click.Command = getattr(
            importlib.import_module(f'pipeline.commands.{module}'), name
        )
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section('Commands'):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={'help_option_names': ['-h', '--help']})
@version_option
@click.pass_context
def main(context: click.Context) -> None:
    """Train, evaluate and push an image classifier with TFX."""
    context.with_resource(console.output_to(sys.stdout))


if __name__ == '__main__':
    main()
