#!/usr/bin/env bash
# Builds wheel and sdist into dist/, checks them, runs the demo from the wheel in an empty environment,
# writes an SBOM for each lock, and audits the locks. AUDIT=skip leaves the audit out, for a network
# without the vulnerability service. Publishes nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONPATH
bin=$PWD/.venv-release/bin
work=$PWD/build/release

say() { echo "release: $*, after $SECONDS s"; }
fail() { echo "release: $*" >&2; exit 1; }

build() {
    rm -rf dist "$work"
    mkdir -p "$work"
    "$bin/python" -m build --outdir dist . >"$work/build.log" 2>&1 ||
        { tail -n 20 "$work/build.log" >&2; fail "the package does not build (build/release/build.log)."; }
    "$bin/twine" check --strict dist/*
    wheels=(dist/*.whl)
    [ ${#wheels[@]} = 1 ] || fail "dist/ has ${#wheels[@]} wheels instead of one."
}

# With the ranges of setup.py, as a user of pip gets them, and the interpreter of .venv.
run_from_wheel() {
    local venv=$work/venv
    .tools/bin/uv venv --quiet --python "$(readlink --canonicalize .venv/bin/python)" "$venv"
    .tools/bin/uv pip install --no-config --quiet --compile-bytecode --python "$venv/bin/python" "${wheels[0]}" ||
        fail "the wheel cannot be installed (see above)."
    say "installed the wheel in an empty environment"
    (cd "$work" && "$venv/bin/catdog-pipeline" run --config demo --workdir runs --quiet)
    ls "$work"/runs/demo/serving/*/saved_model.pb >/dev/null || fail "the demo pushed no model."
}

write_sboms() {
    local stack
    for stack in legacy current; do
        "$bin/cyclonedx-py" requirements --output-reproducible "locks/$stack.txt" \
            --output-file "dist/sbom-$stack.cdx.json"
    done
}

# --strict: a package that the service does not know is a failure, not an audit without findings.
audit() {
    local ignored=() id reason stack
    while read -r id reason; do
        case $id in '' | '#'*) continue ;; esac
        [ "$reason" ] || fail "scripts/audit_ignored.txt: $id has no reason."
        ignored+=(--ignore-vuln "$id")
    done <scripts/audit_ignored.txt
    for stack in legacy current; do
        "$bin/pip-audit" --strict --disable-pip --require-hashes --progress-spinner off \
            --requirement "locks/$stack.txt" "${ignored[@]}" ||
            fail "locks/$stack.txt has findings, or could not be audited: move the package, add the ID" \
                "with a reason to scripts/audit_ignored.txt, or set AUDIT=skip without the service."
    done
}

case ${AUDIT:-} in '' | skip) ;; *) fail "AUDIT is '$AUDIT'; use skip, or leave it out." ;; esac
build
say "built wheel and sdist"
run_from_wheel
say "ran the demo from the wheel"
write_sboms
say "wrote the SBOMs"
if [ "${AUDIT:-}" = skip ]; then
    say "SKIPPED the audit of the locks: AUDIT=skip"
else
    audit
    say "audited the locks"
fi
ls -l dist
