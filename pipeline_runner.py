"""The command line. Puts the commands together; each reads what is asked for, and calls it.

Exit codes: 0 blessed or unchanged, 1 a component failed, 2 wrong usage or configuration,
3 finished and not blessed, 130 interrupted.
"""

import sys

import click

from pipeline.commands import cluster, models, predict, report, runs
from pipeline.commands.error_handling import CommandLine
from pipeline.commands.options import RUN_CODES


@click.group(
    cls=CommandLine, context_settings={'help_option_names': ['-h', '--help']}, epilog=RUN_CODES
)
@click.version_option(package_name='catdog-pipeline')
@click.pass_context
def main(context: click.Context) -> None:
    """Train, evaluate and push an image classifier with TFX."""
    from common import console

    context.with_resource(console.output_to(sys.stdout))


for command in (
    runs.run,
    runs.retrain,
    runs.status,
    runs.config,
    cluster.compile_,
    cluster.submit,
    cluster.schedule,
    models.lineage,
    models.models,
    models.why,
    models.rollback,
    models.bless,
    models.unbless,
    report.report,
    predict.predict,
):
    main.add_command(command)


if __name__ == '__main__':
    main()
