#!/usr/bin/env bash
# Resolves requirements.in, requirements-dev.in and the tools of bootstrap.sh, with hashes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

compile() {
    .tools/bin/uv pip compile --quiet --upgrade --python .venv/bin/python --generate-hashes \
        --custom-compile-command "make lock" "$@"
}
compile requirements.in --output-file requirements.txt
compile requirements-dev.in --constraints requirements.txt --output-file requirements-dev.txt
compile --no-config --no-annotate scripts/uv.in --output-file scripts/uv.txt
compile --no-config --no-annotate scripts/compiler.in --output-file scripts/compiler.txt
