#!/usr/bin/env bash
# Install a wheel or an sdist into an empty environment, and run the demo's commands there.
#
#   .github/try_distribution.sh dist/hangtag-*.whl            the newest versions of the dependencies
#   .github/try_distribution.sh dist/hangtag-*.whl lowest     the lowest ones that pyproject.toml allows
#
# Needs uv. PYTHON chooses the interpreter, EXTRA the extra (train; empty for the base install, which
# then tags with a copy of the model folder that MODEL names).
set -euo pipefail
distribution=$(realpath "$1")
project=$(realpath pyproject.toml)
extra=${EXTRA-train}
model=${MODEL:+$(realpath "$MODEL")}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

uv venv --quiet --python "${PYTHON:-python}" "$work/env"
export VIRTUAL_ENV=$work/env
if [ "${2:-}" = lowest ]; then
    # Of a wheel's own requirements uv would still take the newest.
    uv pip install --resolution lowest-direct ${extra:+--extra "$extra"} --requirements "$project"
    uv pip install --no-deps "$distribution"
else
    uv pip install "$distribution${extra:+[$extra]}"
fi

hangtag=$(ls "$work"/env/bin/hangtag "$work"/env/Scripts/hangtag.exe 2>/dev/null || true)
cd "$work"  # not where the repository's own package could be imported
set -x
"$hangtag" --version
"$hangtag" sample library --designs 200 --quiet
"$hangtag" pack library/designs.csv dataset --min-count 5 --quiet
if [ -n "$extra" ]; then
    "$hangtag" train dataset model --freeze --quiet
else
    cp -r "$model" model  # evaluate writes into it
fi
"$hangtag" evaluate model dataset --split validation --quiet
"$hangtag" tag model library/designs --out tags.jsonl --quiet
test "$(wc -l < tags.jsonl)" -eq 200
