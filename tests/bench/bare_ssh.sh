#!/usr/bin/env bash
# The same `up` by hand: bare ssh commands one after the other, for tests/bench/up.py to compare.
# Usage: bare_ssh.sh LAB_FOLDER HEAD WORKER URL REQUEST   (URL and REQUEST: of a completion)
# On each node ~/bench has what the bench wrote there from `sparkctl plan`: env.sh, ray.sh, and on
# the head status.sh and vllm.sh. Each stage prints when it begins.
set -euo pipefail
lab=$1 head=$2 worker=$3 url=$4 request=$5
on() { ssh -i "$lab/client_key" -o UserKnownHostsFile="$lab/known_hosts" "root@$1" "$2" </dev/null; }
stage() { printf '%s %s\n' "$(date +%s.%N)" "$1"; }

stage "start the Ray head"
on "$head" 'cd ~/bench && . ./env.sh && bash ray.sh >ray.log 2>&1'
stage "start the Ray workers"
on "$worker" 'cd ~/bench && . ./env.sh && bash ray.sh >ray.log 2>&1'
stage "wait for Ray's node table"
until on "$head" 'cd ~/bench && . ./env.sh && bash status.sh' 2>&1 | grep -q '/2.0 GPU'; do
    sleep 0.2
done
stage "start vLLM"
on "$head" 'cd ~/bench; . ./env.sh; setsid bash vllm.sh >vllm.log 2>&1 &'
until curl --noproxy '*' -sf "$url" -H 'Content-Type: application/json' -d "$request" >/dev/null; do
    sleep 0.2
done
stage "the end"
