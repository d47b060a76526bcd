#!/usr/bin/env bash
# Runs a command on a copy of this checkout in a Debian 13 system with its own Python, where the set-up
# takes the current stack: `scripts/in_debian_13.sh make test`. The first call downloads the system into
# build/debian-13. Needs root and mmdebstrap. Its processes and mounts end with the command.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

system=$PWD/build/debian-13
packages=ca-certificates,git,make,g++,python3-dev,python3-pip  # as in README.md; git comes with the clone

fail() { echo "in_debian_13: $*" >&2; exit 1; }
[ $EUID = 0 ] || fail "this needs root, to enter another system."
command -v mmdebstrap >/dev/null || fail "this needs mmdebstrap: apt-get install mmdebstrap"
if [ -n "${CATDOG_DATA:-}" ]; then
    CATDOG_DATA=$(realpath --canonicalize-existing "$CATDOG_DATA") || fail "CATDOG_DATA is not a folder."
fi
mkdir -p build
exec 9>build/debian-13.lock
flock --nonblock 9 || fail "another command runs in build/debian-13; wait for its end."

if [ ! -e "$system/.complete" ]; then
    echo "in_debian_13: downloading Debian 13 into build/debian-13"
    rm -rf "$system"
    mkdir -p "$system"
    mmdebstrap --quiet --variant=minbase --include="$packages" trixie "$system" >&2 ||
        fail "Debian 13 could not be installed (see above)."
    touch "$system/.complete"
fi

# The files of the checkout; .venv and the tools of an earlier call stay.
mkdir -p "$system/src"
find "$system/src" -mindepth 1 -maxdepth 1 ! -name .venv ! -name .tools -exec rm -rf {} +
git ls-files -z --cached --others --exclude-standard |
    tar --create --null --files-from=- --ignore-failed-read 2>/dev/null | tar --extract --directory="$system/src"
cp /etc/resolv.conf /etc/hosts "$system/etc/"
for file in /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
    [ ! -e "$file" ] || cp "$file" "$system$file"
done

# Only settings of the package index and of the tests are passed on.
settings=(HOME=/root PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin LANG=C.UTF-8)
for name in $(compgen -e); do
    case $name in
        PIP_* | UV_* | *_proxy | *_PROXY | SSL_CERT_FILE | SSL_CERT_DIR | CATDOG_DATA | ARGS)
            settings+=("$name=${!name}") ;;
    esac
done

export system
exec unshare --mount --pid --fork --kill-child --propagation private bash -euo pipefail -c '
    mount -t proc proc "$system/proc"
    mount --rbind /dev "$system/dev"
    mount --rbind -o ro /sys "$system/sys"
    mount -t tmpfs tmpfs "$system/tmp"
    if [ -n "${CATDOG_DATA:-}" ]; then
        mkdir -p "$system$CATDOG_DATA"
        mount --bind -o ro "$CATDOG_DATA" "$system$CATDOG_DATA"
    fi
    exec chroot "$system" env --ignore-environment --chdir=/src "$@"
' bash "${settings[@]}" "$@"
