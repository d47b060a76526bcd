#!/usr/bin/env bash
# Creates .venv from the lock files: `scripts/bootstrap.sh run`, or `dev` to add test and check tools.
# `docs` and `release` create .venv-docs and .venv-release with the tools of `make docs` and `make release`.
# If the environment is up to date, it only compares a checksum. An interrupted install starts again.
#
# There are two stacks, each with its locks. `current` (TFX 1.21) needs glibc 2.39 and CPython 3.12 or
# 3.13; `legacy` (TFX 1.16) is for older systems and needs CPython 3.10. CATDOG_STACK chooses one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

level=${1:-run}
case $level in
    run | dev) venv=.venv inputs=(locks/{legacy,current}{,-dev}.txt setup.py) ;;
    docs | release) venv=.venv-$level inputs=("locks/$level.txt") ;;
    *) echo "bootstrap: unknown environment '$level'; use run, dev, docs or release" >&2; exit 1 ;;
esac
stamp=$venv/.installed
unset PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH VIRTUAL_ENV

fail() { echo "bootstrap: $*" >&2; exit 1; }

# The key includes the folder, because scripts in the environment contain its absolute path.
key() { { pwd && cat "${inputs[@]}"; } | sha256sum | cut -d' ' -f1; }

installed() {  # any stack will do, unless CATDOG_STACK names one
    local found_key found_stack found_level
    [ -x $venv/bin/python ] && read -r found_key found_stack found_level 2>/dev/null <"$stamp" || return 1
    [ "$found_key" = "$key" ] &&
        { [ "$found_stack" = none ] || [ "${CATDOG_STACK:-$found_stack}" = "$found_stack" ]; } &&
        { [ "$found_level" = "$level" ] || [ "$found_level" = dev ]; }
}

# Takes current if glibc is new enough, unless CPython 3.10 is the only usable interpreter.
choose_stack() {
    local libc new=
    find_python() {
        versions=("$@") no_headers=
        python=$(scripts/find_python.sh "$@") || [ $? = 1 ] || no_headers=yes
    }
    libc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || fail "this system has no glibc, which TensorFlow needs."
    if [ $venv != .venv ]; then
        stack=none locks=("${inputs[@]}")
        find_python 3.13 3.12 3.11 3.10
        return
    fi
    if printf '%s\n' 2.39 "${libc#* }" | sort -VC; then new=yes; fi
    case ${CATDOG_STACK:-} in
        '') stack=${new:+current} ;;
        legacy) stack= ;;
        current) stack=current
            [ "$new" ] || fail "CATDOG_STACK=current needs glibc 2.39 or newer; this system has ${libc#* }." ;;
        *) fail "CATDOG_STACK is '$CATDOG_STACK'; expected current or legacy." ;;
    esac
    if [ "$stack" ]; then
        find_python 3.13 3.12
        if [ -z "$python${CATDOG_STACK:-}" ] && [ -n "$(scripts/find_python.sh 3.10)" ]; then stack=; fi
    fi
    if [ -z "$stack" ]; then
        stack=legacy
        find_python 3.10
    fi
    locks=("locks/$stack.txt")
    [ "$level" = run ] || locks+=("locks/$stack-dev.txt")
}

# What the system lacks is one error line: two locked packages, pyfarmhash and crcmod, are C source.
check_system() {
    local missing=() packages=() names=(g++ python3-pip dev) install=apt-get
    if command -v dnf >/dev/null; then names=(gcc-c++ python3-pip devel) install=dnf; fi
    lacks() { missing+=("$1"); packages+=("$2"); }

    [ $stack = none ] || { command -v g++ && command -v gcc; } >/dev/null || lacks 'a C and C++ compiler' "${names[0]}"
    python_with_pip=
    for each in python3 "$python"; do
        if [ -z "$python_with_pip" ] && "$each" -m pip --version >/dev/null 2>&1; then python_with_pip=$each; fi
    done
    has_uv || [ -n "$python_with_pip" ] || lacks 'a Python 3 with pip' "${names[1]}"
    if [ "$no_headers" ] && [ $stack != none ]; then
        lacks "the C headers of $python" "python$("$python" -c "$version")-${names[2]}"
    elif [ "$stack" = current ] && [ -z "$python" ] && ! has_uv && ! command -v python3 >/dev/null; then
        lacks 'the C headers of Python' "python3-${names[2]}"
    fi
    [ ${#missing[@]} = 0 ] ||
        fail "this system lacks $(join "${missing[@]}"): $install install ${packages[*]}"
}
version='import sys; print("%d.%d" % sys.version_info[:2])'
join() { local text; printf -v text ' and %s' "$@"; echo "${text# and }"; }

has_uv() { [ "$("$uv" --version 2>/dev/null | cut -d' ' -f2)" = "$(sed 's/uv==//' scripts/uv.in)" ]; }

# The wheel of uv fits any Python; --target needs neither a virtual environment nor permissions.
get_uv() {
    if has_uv; then return; fi
    echo "bootstrap: fetching uv"
    rm -rf .tools
    PIP_USER=0 PIP_ROOT_USER_ACTION=ignore "$python_with_pip" -m pip install --quiet --disable-pip-version-check \
        --ignore-requires-python --only-binary :all: --require-hashes --target .tools \
        -r scripts/uv.txt >&2 ||
        fail "'$python_with_pip -m pip' could not fetch uv: the first run needs pip 20.3 or newer and a reachable package index."
}

get_python() {
    [ -z "$python" ] || return 0
    echo "bootstrap: no CPython ${versions[*]} found, downloading one with uv"
    export UV_PYTHON_INSTALL_DIR=$PWD/.tools/python
    "$uv" python install --no-bin "${versions[0]}" 2>.tools/python.log ||
        fail "no CPython ${versions[*]} was found and none could be downloaded (.tools/python.log):" \
            "install one, for example with 'pyenv install ${versions[0]}'."
    python=$("$uv" python find --managed-python "${versions[0]}")
}

make_venv() {
    [ -f "$stamp" ] && [ "$($venv/bin/python -c "$version" 2>/dev/null)" = "$("$python" -c "$version")" ] ||
        "$uv" venv --quiet --clear --python "$python" $venv
    rm -f "$stamp"
}

uv=.tools/bin/uv
key=$(key)
if installed; then exit; fi
if command -v flock >/dev/null; then
    exec 9<scripts/bootstrap.sh
    flock 9
    if installed; then exit; fi
fi

export UV_PYTHON_DOWNLOADS=never
# uv reads neither pip's index setting nor the system certificates (a proxy may need its own).
[ -z "${PIP_INDEX_URL:-}" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"
[ ! -s /etc/ssl/certs/ca-certificates.crt ] || export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"
choose_stack
check_system
get_uv
UV_PYTHON_DOWNLOADS=manual get_python
make_venv
case $stack in
    none) what="the $level tools" ;;
    *) what="the $stack stack" ;;
esac
echo "bootstrap: installing $what into $venv with $python; the first time may take a few minutes"
"$uv" pip sync --quiet --python $venv/bin/python --require-hashes --compile-bytecode \
    --build-constraints "${locks[0]}" "${locks[@]}" ||
    fail "the packages could not be installed (see above): the first run needs a package index."
[ $stack = none ] || "$uv" pip install --quiet --python .venv/bin/python --offline --no-deps --no-build-isolation \
    --config-settings editable_mode=compat --editable .
echo "$key $stack $level" >"$stamp"
