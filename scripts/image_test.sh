#!/usr/bin/env bash
# Builds deploy/Dockerfile without a registry or a container engine, on a base image made of Debian
# packages. Then runs the demo and two tasks of a compiled Kubeflow pipeline in the image, with a
# read-only root file system and a user id that the image does not know. Needs root, buildah and
# mmdebstrap, and 10 GB in TMPDIR (/var/tmp) until it ends. Mounts and processes end with the command.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

limit_megabytes=2500
base=localhost/python:3.13-slim-trixie
image=localhost/catdog-pipeline:test
user=123456

say() { echo "image_test: $*, after $SECONDS s"; }
fail() { echo "image_test: $*" >&2; exit 1; }

work=${1:-}
if [ -z "$work" ]; then
    for tool in buildah mmdebstrap; do
        command -v $tool >/dev/null || { echo "image_test: skipped, because it needs $tool"; exit; }
    done
    [ $EUID = 0 ] || { echo "image_test: skipped, because it needs root"; exit; }
    work=$(mktemp --directory --tmpdir="${TMPDIR:-/var/tmp}" image-test.XXXXXX)
    trap 'rm -rf "$work"' EXIT
    # --foreground for Ctrl-C; unshare ignores SIGTERM.
    timeout --foreground --signal KILL 1800 unshare --mount --pid --fork --kill-child --mount-proc \
        --propagation private scripts/image_test.sh "$work"
    exit
fi

export TMPDIR=$work
buildah() { command buildah --root "$work/storage" --runroot "$work/run" "$@"; }

# The official image provides the same: python, its headers and venv.
make_base() {
    local container root
    container=$(buildah from scratch)
    root=$(buildah mount "$container")
    [ -n "$root" ] || fail "buildah mounted no container."
    mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3-dev,python3-venv trixie "$root"
    ln -s python3 "$root/usr/bin/python"
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"  # a proxy may need its own
    buildah commit --quiet --rm "$container" "$base" >/dev/null
}

build() {
    local options=(--build-arg "BASE_IMAGE=$base") cache
    cache=${UV_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/uv}
    [ ! -d "$cache" ] || options+=(--volume "$cache:/cache/uv")
    [ -z "${PIP_INDEX_URL:-}" ] || options+=(--build-arg "PIP_INDEX_URL=$PIP_INDEX_URL")
    buildah bud --quiet --isolation chroot --pull-never "${options[@]}" --tag "$image" \
        --ignorefile deploy/Dockerfile.dockerignore --file deploy/Dockerfile . >"$work/build.log" 2>&1 ||
        { tail -n 50 "$work/build.log" >&2; fail "the image does not build."; }
}

# As in the pods of deploy/kubernetes: /runs and /tmp are writable.
start_container() {
    local container
    container=$(buildah from "$image")
    root=$(buildah mount "$container")
    mapfile -t environment < <(
        buildah inspect --format '{{range .OCIv1.Config.Env}}{{println .}}{{end}}' "$container" | grep .)
    mkdir "$work/runs"
    chown $user:$user "$work/runs"
    mount --bind "$root" "$root"
    mount -o remount,bind,ro "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/tmp"
    mount --bind "$work/runs" "$root/runs"
}
in_container() {
    setpriv --no-new-privs chroot --userspec=$user:$user --groups= "$root" \
        env --ignore-environment --chdir=/runs "${environment[@]}" "$@"
}

make_base
say "made the base image"
build
start_container
megabytes=$(du --summarize --one-file-system --apparent-size --block-size=1MB "$root" | cut -f1)
say "built the image: $megabytes MB"
[ "$megabytes" -le $limit_megabytes ] || fail "the image is larger than $limit_megabytes MB."
if in_container touch /opt/venv/file 2>/dev/null; then fail "the root file system is writable."; fi

in_container catdog-pipeline run --config demo --workdir /runs/demo --set data.count=1000
ls "$work"/runs/demo/demo/serving/*/saved_model.pb >/dev/null || fail "the demo pushed no model."
say "ran the demo"
in_container catdog-pipeline compile --config demo --workdir /runs/kubeflow --set data.count=1000 \
    --set kubeflow.image="$image" --output /runs/pipeline.yaml
install -D --mode 644 tests/e2e/kubeflow_emulator.py --target-directory "$work/runs/tests/e2e"
in_container env PYTHONPATH=/runs/tests/e2e python -c '
import pathlib, kubeflow_emulator
run = kubeflow_emulator.KubeflowRun(
    pathlib.Path("pipeline.yaml"), pathlib.Path("/runs"), ["decide", "ingest"])
run.execute()
assert len(run.finished) == 2, run.finished
for name, task in run.finished.items():
    print(name, task.output, sep="\n")
    assert task.code == 0
'
say "ran two tasks of the compiled Kubeflow pipeline"
