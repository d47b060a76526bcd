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
    'retrain': ('runs:retrain', 'Run a recipe if there are new spans or the live model is old.'),
    'status': ('runs:status', 'Show the last ticks, the live model, and the next tick.'),
    'runs': ('runs:runs_', 'List the last runs of all recipes.'),
    'report': ('report:report', 'Open the report of a run, or compare two.'),
    'why': ('models:why', 'Show the latest gate decision, rule by rule.'),
    'models': ('models:models', 'List the versions in the serving folder.'),
    'lineage': ('models:lineage', 'Show how a pushed model was made.'),
    'rollback': ('models:rollback', 'Make an earlier version live again.'),
    'bless': ('models:bless', 'Push a model that the gate rejected.'),
    'unbless': ('models:unbless', 'Withdraw the blessing of a version.'),
    'predict': ('predict:predict', 'Predict the classes of images.'),
    'serve': ('serve:serve', 'Serve the live model over HTTP.'),
    'compile': ('cluster:compile_', 'Compile a recipe for Kubeflow Pipelines 2.'),
    'submit': ('cluster:submit', 'Run a recipe on Kubeflow Pipelines now.'),
    'schedule': ('cluster:schedule', 'Schedule retraining with a cron expression.'),
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
