#!/usr/bin/env bash
# Resolves requirements*.in into the locks of both stacks, with hashes, and the tools of bootstrap.sh,
# of the documentation and of a release.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

compile() {
    .tools/bin/uv pip compile --quiet --upgrade --generate-hashes --custom-compile-command "make lock" "$@"
}
current=(--universal --python-version 3.12)
legacy=(--python-version 3.10 --python-platform x86_64-manylinux_2_28)
for stack in current legacy; do
    declare -n options=$stack
    compile "${options[@]}" requirements.in --output-file locks/$stack.txt
    compile "${options[@]}" requirements-dev.in --constraints locks/$stack.txt \
        --output-file locks/$stack-dev.txt
done
# The images: TensorFlow without GPU kernels, or with CUDA's libraries; all else as tested.
version=$(sed -n 's/^tensorflow==\([^ ]*\).*/\1/p' locks/current.txt)
compile_image() {  # NAME OPTION...
    compile "${current[@]}" requirements.in - --constraints locks/current.txt \
        --output-file "locks/current-$1.txt" "${@:2}"
}
compile_image cpu --excludes <(echo tensorflow) <<<"tensorflow-cpu==$version"
compile_image cuda <<<"tensorflow[and-cuda]==$version"
compile --no-config --no-annotate scripts/uv.in --output-file scripts/uv.txt
# Tools that run on the Python of either stack.
tools=(--no-config --universal --python-version 3.10 --fork-strategy fewest)
compile "${tools[@]}" docs/requirements.in --output-file locks/docs.txt
compile "${tools[@]}" scripts/release.in --output-file locks/release.txt
