#!/usr/bin/env bash
# Makes the lab's runtime for SGLang on a CPU, a virtual environment over the one of install.sh:
# torch, transformers and most others are those of ray and vLLM, so it needs 0.3 GB and half a minute.
# Usage: bash install-sglang.sh [FOLDER [RUNTIME]]
# A complete and current runtime is kept; an incomplete or outdated one is replaced.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${SPARKCTL_CACHE:-$HOME/.cache/sparkctl}
venv=${1:-$cache/runtime-sglang}
base=${2:-$cache/runtime}
python=$venv/bin/python

bash "$here/install.sh" "$base"

mkdir -p "$(dirname "$venv")"
exec 9>"$venv.lock" # one installation at a time
flock 9

current=$(cat "$base/.requirements" "$here"/requirements-sglang*.txt "$here"/sglang/*.* | sha256sum | cut -d' ' -f1)
if [ "$(cat "$venv/.installed" 2>/dev/null)" = "$current" ] && "$python" -c '' 2>/dev/null; then exit; fi

echo "lab runtime: installing SGLang into $venv (half a minute)"
rm -rf "$venv"
"$base/bin/python" -m venv --without-pip "$venv"
pip() { "$base/bin/python" -m pip --python "$python" "$@"; }
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$base/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$packages/base.pth"
pip install -qq --prefer-binary -r "$here/requirements-sglang.txt"
pip install -qq --no-deps -r "$here/requirements-sglang-alone.txt"
# It registers torchvision's own operators, which a torch for the CPU does not have.
: >"$packages/torchvision/_meta_registrations.py"
copy=$(mktemp -d) # pip builds inside the folder it is given
trap 'rm -rf "$copy"' EXIT
cp "$here"/sglang/*.* "$copy"
pip install -qq --no-index --no-deps --no-build-isolation "$copy"
echo "$current" >"$venv/.installed"
