"""The commands of the command line. `pipeline_runner.py` puts them together."""
