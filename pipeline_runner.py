"""The command line: puts the commands together. Their exit codes are in `common.errors`."""

import sys

import click

from pipeline.commands import cluster, init, models, predict, report, runs, serve
from pipeline.commands.error_handling import CommandLine
from pipeline.commands.options import version_option


@click.group(cls=CommandLine, context_settings={'help_option_names': ['-h', '--help']})
@version_option
@click.pass_context
def main(context: click.Context) -> None:
    """Train, evaluate and push an image classifier with TFX."""
    from common import console

    context.with_resource(console.output_to(sys.stdout))


for command in (
    init.init,
    runs.run,
    runs.runs_,
    runs.config,
    cluster.compile_,
    cluster.submit,
    cluster.schedule,
    models.models,
    models.clean,
    report.report,
    predict.predict,
    serve.serve,
):
    main.add_command(command)


if __name__ == '__main__':
    main()
