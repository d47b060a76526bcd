#!/bin/sh
# Prints the full path of a usable CPython 3.10, or exits with 1 and no output.
# Order: every python3.10 on PATH, then the newest in each pyenv found through HOME or PATH.
set -u

# The interpreter must start (a pyenv shim may not) and have headers: two dependencies are C source.
# For a shim or a virtual environment, prints the path of the base interpreter.
probe() {
    "$1" - 2>/dev/null <<'PROBE'
import os, sys, sysconfig
headers = os.path.join(sysconfig.get_paths()["include"], "Python.h")
is_cpython_310 = sys.implementation.name == "cpython" and sys.version_info[:2] == (3, 10)
if not (is_cpython_310 and os.path.isfile(headers)):
    sys.exit(1)
in_venv = sys.prefix != sys.base_prefix
print(os.path.join(sys.base_prefix, "bin", "python3.10") if in_venv else sys.executable)
PROBE
}

on_path() {
    echo "${PATH:-}" | tr ':' '\n' | while IFS= read -r folder; do
        echo "$folder/python3.10"
    done
}

# pyenv is found through its variable, its default folder, its command, or a python3 inside it.
# With another HOME (sudo), only the last two work.
pyenv_roots() {
    echo "${PYENV_ROOT:-}"
    echo "${HOME:-}/.pyenv"
    pyenv root
    python3 -c 'import sys; print(sys.base_prefix.partition("/versions/")[0])'
}

in_pyenv() {
    pyenv_roots 2>/dev/null | while IFS= read -r root; do
        printf '%s\n' "$root"/versions/3.10.*/bin/python3.10 | sort -rV
    done
}

{ on_path; in_pyenv; } | while IFS= read -r python; do
    if [ -x "$python" ] && probe "$python"; then
        exit 3
    fi
done
[ $? -eq 3 ]
