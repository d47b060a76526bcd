#!/usr/bin/env bash
# Tests the Beam components on a Flink cluster of processes on this machine. Arguments are pytest options.
# The first run builds Beam's job server and downloads Flink, 0.4 GB, to build/flink. Needs Java 11 or 17 and Maven.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
flink=$PWD/build/flink

skip() {
    echo "test-flink: skipped: $*"
    exit 0
}
for program in java mvn; do
    command -v "$program" >/dev/null || skip "$program is not installed"
done
.venv/bin/python -c 'import sys; from common.stack import LEGACY; sys.exit(not LEGACY)' ||
    skip 'the job server is for Beam 2.59 of the legacy stack'
mkdir -p "$flink"

if [[ ! -e $flink/job-server.jar ]]; then
    echo 'test-flink: building the job server'
    mvn -q -B -f tests/e2e/flink/pom.xml -Dbuild.folder="$flink/maven" package ||
        skip 'Maven cannot build the job server'
    mv "$flink/maven/job-server.jar" "$flink"
    rm -r "$flink/maven"
fi

if [[ ! -e $flink/lib ]]; then
    echo 'test-flink: downloading Flink'
    rm -rf "$flink/download"
    .venv/bin/python -m pip download -q --no-deps --no-binary apache-flink-libraries --dest "$flink/download" \
        apache-flink-libraries==1.16.3 || skip 'pip cannot download Flink'
    tar -xz -f "$flink"/download/*.tar.gz -C "$flink/download" --strip-components=2 --wildcards \
        '*/deps/lib/flink-dist-*' '*/deps/lib/flink-shaded-zookeeper-*' '*/deps/lib/log4j-*'
    mv "$flink/download/lib" "$flink"
    rm -r "$flink/download"
fi

FLINK_LIBRARIES=$flink/lib FLINK_JOB_SERVER=$flink/job-server.jar FLINK_TEST_IMAGES=${FLINK_TEST_IMAGES:-200} \
    .venv/bin/python -m pytest -q --durations=0 -k flink tests/e2e/test_portable_beam.py "$@"
