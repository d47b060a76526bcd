"""A Flink cluster of processes on 127.0.0.1, with Beam's job server and a pool of workers."""

import contextlib
import json
import os
import subprocess
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import beam_processes
import psutil
from free_ports import free_port

# Java 17; Flink 1.16 itself is made for Java 11.
JAVA = (
    'java',
    '--add-exports=java.base/sun.net.util=ALL-UNNAMED',
    '--add-opens=java.base/java.lang=ALL-UNNAMED',
    '--add-opens=java.base/java.util=ALL-UNNAMED',
)
SLOTS = 2
# Milliseconds for which a task manager may keep an unused worker: below the restart delay.
WORKERS_KEPT = 5_000
# docs/how-to/beam.md explains these settings.
SETTINGS = f"""
jobmanager.rpc.address: 127.0.0.1
jobmanager.bind-host: 127.0.0.1
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
taskmanager.host: 127.0.0.1
taskmanager.bind-host: 127.0.0.1
taskmanager.numberOfTaskSlots: {SLOTS}
taskmanager.cpu.cores: 1.0
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.framework.off-heap.size: 128m
taskmanager.memory.task.heap.size: 384m
taskmanager.memory.task.off-heap.size: 0m
taskmanager.memory.managed.size: 256m
taskmanager.memory.network.min: 512m
taskmanager.memory.network.max: 512m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 192m
taskmanager.memory.jvm-overhead.max: 192m
taskmanager.network.sort-shuffle.min-buffers: 64
heartbeat.interval: 2000
heartbeat.timeout: 20000
restart-strategy: fixed-delay
restart-strategy.fixed-delay.attempts: 10
restart-strategy.fixed-delay.delay: {2 * WORKERS_KEPT} ms
"""
LOGGING = """
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss} %-5p %c{1} %m%n
"""
_ENTRY = 'org.apache.flink.runtime.'


@dataclass
class FlinkCluster:
    """The processes of a running cluster."""

    folder: Path
    libraries: Path  # the JARs of Flink
    job_server: Path
    job_port: int = field(default_factory=free_port)
    rest_port: int = field(default_factory=free_port)
    worker_port: int = 0
    pool: int = 0
    task_managers: dict[str, subprocess.Popen] = field(default_factory=dict)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def options(self) -> dict[str, Any]:
        """The `beam.options` of a recipe."""
        return {
            'job_endpoint': f'localhost:{self.job_port}',
            'environment_type': 'EXTERNAL',
            'environment_config': f'localhost:{self.worker_port}',
            'environment_cache_millis': WORKERS_KEPT,
            'parallelism': SLOTS,
            'job_server_timeout': 600,
        }

    def __enter__(self) -> 'FlinkCluster':
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, stack: contextlib.ExitStack) -> None:
        for name in ('conf', 'tmp'):
            (self.folder / name).mkdir()
        settings = {
            'jobmanager.rpc.port': free_port(),
            'rest.port': self.rest_port,
            'io.tmp.dirs': self.folder / 'tmp',
            'blob.storage.directory': self.folder / 'tmp',
        }
        lines = [f'{key}: {value}' for key, value in settings.items()]
        (self.folder / 'conf/flink-conf.yaml').write_text('\n'.join([SETTINGS, *lines, '']))
        (self.folder / 'conf/log4j.properties').write_text(LOGGING)
        self._java(
            stack,
            'job-manager',
            '-Xmx512m',
            *self._flink('entrypoint.StandaloneSessionClusterEntrypoint'),
            '--executionMode=cluster',
        )
        arguments = {
            'flink-master': f'127.0.0.1:{self.rest_port}',
            'flink-conf-dir': self.folder / 'conf',
            'job-host': '127.0.0.1',
            'job-port': self.job_port,
            'artifact-port': 0,
            'expansion-port': 0,
            'artifacts-dir': self.folder / 'artifacts',
        }
        server = self._java(
            stack,
            'job-server',
            '-Xmx512m',
            '-jar',
            self.job_server,
            *(f'--{key}={value}' for key, value in arguments.items()),
        )
        environment = {**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'}
        pool = beam_processes.worker_pool(self.folder, environment)
        self.pool, self.worker_port = stack.enter_context(pool)
        for number in range(2):  # one of them is spare
            self._add_task_manager(stack, f'task-manager-{number}')
        beam_processes.wait_for(
            lambda: beam_processes.listens(self.job_port), server, self.folder / 'job-server.log'
        )

    def _add_task_manager(self, stack: contextlib.ExitStack, name: str) -> None:
        process = self._java(
            stack,
            name,
            '-Xmx640m',
            '-XX:MaxDirectMemorySize=700m',
            *self._flink('taskexecutor.TaskManagerRunner'),
            f'-Dtaskmanager.resource-id={name}',
        )
        self.task_managers[name] = process
        log = self.folder / f'{name}.log'
        beam_processes.wait_for(lambda: self.free_slots().get(name), process, log)

    def _flink(self, main: str) -> list[str]:
        """A Flink process, which has the job server's JAR in its class path."""
        libraries = [*sorted(self.libraries.glob('*.jar')), self.job_server]
        return [
            f'-Dlog4j.configurationFile={self.folder}/conf/log4j.properties',
            '-cp',
            ':'.join(map(str, libraries)),
            _ENTRY + main,
            f'--configDir={self.folder}/conf',
        ]

    def _java(self, stack: contextlib.ExitStack, name: str, *arguments: object) -> subprocess.Popen:
        with (self.folder / f'{name}.log').open('w') as log:
            process = subprocess.Popen(
                [*JAVA, *map(str, arguments)], stdout=log, stderr=log, cwd=self.folder
            )
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process

    def workers(self) -> list[psutil.Process]:
        """Processes of the running workers, oldest first."""
        children = psutil.Process(self.pool).children()
        return [each for each in children if each.status() != psutil.STATUS_ZOMBIE]

    def free_slots(self) -> dict[str, int]:
        """Free slots by task manager."""
        found = self._get('taskmanagers').get('taskmanagers', [])
        return {each['id']: each['freeSlots'] for each in found}

    def restarts(self) -> int:
        """Failed tasks of all jobs, each of which was started again."""
        log = (self.folder / 'job-manager.log').read_text()
        return sum('switched from RUNNING to FAILED' in line for line in log.splitlines())

    def _get(self, path: str) -> dict[str, Any]:
        url = f'http://127.0.0.1:{self.rest_port}/{path}'
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)
        except OSError:  # not started yet
            return {}
