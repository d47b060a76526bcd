#!/bin/sh
# Prints the full path of a CPython of one of the given versions (`find_python.sh 3.13 3.12`), or exits
# with 1 and no output. Order: python3 on PATH, then each version on PATH and in each pyenv found
# through HOME or PATH. One without C headers (two dependencies are C source) is taken only if there is
# no other; then the exit code is 2.
set -u

# The interpreter must start: a pyenv shim may not. Prints whether it has headers, and its path; for a
# shim or a virtual environment, the path of the base interpreter.
probe() {
    "$1" - "$versions" 2>/dev/null <<'PROBE'
import os, sys, sysconfig
version = "%d.%d" % sys.version_info[:2]
if sys.implementation.name != "cpython" or version not in sys.argv[1].split():
    sys.exit(1)
headers = os.path.isfile(os.path.join(sysconfig.get_paths()["include"], "Python.h"))
in_venv = sys.prefix != sys.base_prefix
python = os.path.join(sys.base_prefix, "bin", "python" + version) if in_venv else sys.executable
print("headers" if headers else "none", python)
PROBE
}

on_path() {  # NAME
    echo "${PATH:-}" | tr ':' '\n' | sed "s|\$|/$1|"
}

# pyenv is found through its variable, its default folder, its command, or a python3 inside it.
# With another HOME (sudo), only the last two work.
pyenv_roots() {
    echo "${PYENV_ROOT:-}"
    echo "${HOME:-}/.pyenv"
    pyenv root
    python3 -c 'import sys; print(sys.base_prefix.partition("/versions/")[0])'
}

candidates() {
    on_path python3
    for version in $versions; do
        on_path "python$version"
        pyenv_roots 2>/dev/null | while IFS= read -r root; do
            printf '%s\n' "$root/versions/$version".*/bin/"python$version" | sort -rV
        done
    done
}

versions="$*"
candidates | while IFS= read -r python; do
    if [ -x "$python" ]; then probe "$python"; fi
done | sort -s -k 1,1 | {
    read -r headers python || exit 1
    echo "$python"
    [ "$headers" = headers ] || exit 2
}
