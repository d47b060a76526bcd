#!/usr/bin/env bash
# Creates .venv from the lock files: `scripts/bootstrap.sh run`, or `dev` to add test and check tools.
# If .venv is up to date, it only compares a checksum. An interrupted install starts again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

level=${1:-run}
stamp=.venv/.installed
locks=(requirements.txt)
[ "$level" = run ] || locks+=(requirements-dev.txt)

fail() { echo "bootstrap: $*" >&2; exit 1; }

# The key includes the folder, because scripts in .venv contain its absolute path.
key() { { pwd && cat requirements.txt requirements-dev.txt setup.py; } | sha256sum | cut -d' ' -f1; }

installed() {
    local found
    [ -x .venv/bin/python ] && found=$(cat "$stamp" 2>/dev/null) || return 1
    [ "$found" = "$key $level" ] || [ "$found" = "$key dev" ]
}

# The wheel of uv fits any Python; --target needs neither a virtual environment nor permissions.
get_uv() {
    local python pip=
    uv=.tools/bin/uv
    [ "$("$uv" --version 2>/dev/null | cut -d' ' -f2)" = "$(sed 's/uv==//' scripts/uv.in)" ] && return
    echo "bootstrap: fetching uv"
    rm -rf .tools
    for python in python3 "$(scripts/find_python.sh)"; do
        "$python" -m pip --version >/dev/null 2>&1 || continue
        pip="$python -m pip"
        PIP_USER=0 PIP_ROOT_USER_ACTION=ignore $pip install --quiet --disable-pip-version-check \
            --ignore-requires-python --only-binary :all: --require-hashes --target .tools \
            -r scripts/uv.txt >&2 && return
    done
    [ -n "$pip" ] || fail "no Python 3 with pip was found: install python3 and its pip (python3-pip)."
    fail "'$pip' could not fetch uv: the first run needs pip 20.3 or newer and a reachable package index."
}

get_python() {
    if python=$(scripts/find_python.sh); then return; fi
    echo "bootstrap: no CPython 3.10 found, downloading one with uv"
    export UV_PYTHON_INSTALL_DIR=$PWD/.tools/python
    "$uv" python install --no-bin 3.10 2>.tools/python.log ||
        fail "no CPython 3.10 was found and none could be downloaded (.tools/python.log):" \
            "install one, for example with 'apt install python3.10-dev' or 'pyenv install 3.10'."
    python=$("$uv" python find --managed-python 3.10)
}

# Two dependencies have no wheels. Without gcc and g++, the Zig compiler is installed as a wheel.
get_compiler() {
    if command -v g++ >/dev/null && command -v gcc >/dev/null; then return; fi
    echo "bootstrap: no gcc and g++ found, fetching a compiler"
    "$uv" pip sync --quiet --python "$python" --target .tools/compiler --require-hashes scripts/compiler.txt
    zig=$PWD/.tools/compiler/ziglang/zig
    export CC="$zig cc" CXX="$zig c++"
}

make_venv() {
    local version
    version=$(.venv/bin/python -c 'import sys; print(*sys.version_info[:2])' 2>/dev/null || true)
    if [ ! -f "$stamp" ] || [ "$version" != "3 10" ]; then
        "$uv" venv --quiet --clear --python "$python" .venv
    fi
    rm -f "$stamp"
}

key=$(key)
if installed; then exit; fi
if command -v flock >/dev/null; then
    exec 9<scripts/bootstrap.sh
    flock 9
    if installed; then exit; fi
fi

unset PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH VIRTUAL_ENV
export UV_PYTHON_DOWNLOADS=never
# uv reads neither pip's index setting nor the system certificates (a proxy may need its own).
[ -z "${PIP_INDEX_URL:-}" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"
[ ! -s /etc/ssl/certs/ca-certificates.crt ] || export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"
get_uv
UV_PYTHON_DOWNLOADS=manual get_python
get_compiler
make_venv
echo "bootstrap: installing ${locks[*]} into .venv with $python; the first time takes a few minutes"
"$uv" pip sync --quiet --python .venv/bin/python --require-hashes --compile-bytecode \
    --build-constraints requirements.txt "${locks[@]}" ||
    fail "the packages could not be installed (see above): the first run needs a package index."
"$uv" pip install --quiet --python .venv/bin/python --offline --no-deps --no-build-isolation \
    --config-settings editable_mode=compat --editable .
echo "$key $level" >"$stamp"
