"""Commands of the command line, which `pipeline_runner.py` combines."""
