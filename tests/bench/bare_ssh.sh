#!/usr/bin/env bash
# The same `up` by hand: bare ssh commands, one after the other, for tests/bench/up.py to compare.
# Usage: bare_ssh.sh LAB_FOLDER HEAD WORKER VENV  (after it, its processes are `sparkctl lab down`'s)
set -euo pipefail
lab=$1 head=$2 worker=$3 venv=$4
on() { ssh -i "$lab/client_key" -o UserKnownHostsFile="$lab/known_hosts" "root@$1" "$2" </dev/null; }
settings() {
    echo "export NCCL_SOCKET_IFNAME=enp1s0f0np0 GLOO_SOCKET_IFNAME=enp1s0f0np0 \
        NCCL_IB_HCA=rocep1s0f0,roceP2p1s0f0 VLLM_HOST_IP=$1 OMP_NUM_THREADS=1 \
        VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=nobind HF_HUB_OFFLINE=1 \
        VLLM_CACHE_ROOT=/var/cache/sparkctl-lab/$2 RAY_memory_monitor_refresh_ms=0 \
        TORCHINDUCTOR_CACHE_DIR=/var/cache/sparkctl-lab/$2/inductor"
}
stage() { printf '%s %s\n' "$(date +%s.%N)" "$1"; }

ray="$venv/bin/ray start --disable-usage-stats --num-gpus 1 --object-store-memory 200000000"
stage "start the Ray head"
on "$head" "$(settings 192.168.100.11 spark-1); $ray --head --port 6379 \
    --node-ip-address 192.168.100.11 >/tmp/ray.log 2>&1"
stage "start the Ray workers"
on "$worker" "$(settings 192.168.100.12 spark-2); $ray --address 192.168.100.11:6379 \
    --node-ip-address 192.168.100.12 >/tmp/ray.log 2>&1"
stage "wait for Ray's node table"
until on "$head" "$venv/bin/ray status --address 192.168.100.11:6379" 2>&1 | grep -q '/2.0 GPU'; do
    sleep 0.5
done
stage "start vLLM"
on "$head" "$(settings 192.168.100.11 spark-1) RAY_ADDRESS=192.168.100.11:6379; \
    setsid $venv/bin/vllm serve $lab/model --port 30000 --served-model-name m \
    --tensor-parallel-size 2 --distributed-executor-backend ray --max-model-len 2048 \
    --max-num-seqs 4 --max-num-batched-tokens 2048 --trust-remote-code \
    --enable-prefix-caching --enable-chunked-prefill \
    --enable-auto-tool-choice --tool-call-parser minimax_m2 \
    --reasoning-parser minimax_m2_append_think --compilation-config \
    '{\"cudagraph_mode\":\"none\",\"inductor_compile_config\":{\"combo_kernels\":false,\"benchmark_combo_kernel\":false,\"max_autotune\":false,\"max_autotune_gemm\":false}}' \
    >/tmp/vllm.log 2>&1 &"
request='{"model": "m", "prompt": "Hello", "max_tokens": 4}'
until curl --noproxy '*' -sf "http://$head:30000/v1/completions" \
    -H 'Content-Type: application/json' -d "$request" >/dev/null; do
    sleep 0.5
done
stage "the end"
