#!/bin/sh
# Imitated by `sparkctl lab`: answers as nvidia-smi does on a GB10; there is no GPU.
# Memory is [N/A] as on GB10, where the GPU shares the CPU's (seen on DGX Sparks). A shell script,
# because like the real program it starts in milliseconds.
set -f

driver=580.95.05
# As of an idle GB10.
clock=208 utilization=0 power=4.52 temperature=40 reasons=0x0000000000000001
uuid=GPU-00000000-0000-0000-0000-0000000000b1

value() {
    case $1 in
    name | gpu_name) value='NVIDIA GB10' ;;
    driver_version) value=$driver ;;
    index) value=0 ;;
    count) value=1 ;;
    uuid | gpu_uuid) value=$uuid ;;
    compute_cap) value=12.1 ;;
    pci.bus_id) value=0000000F:01:00.0 ;;
    persistence_mode) value=Enabled ;;
    temperature.gpu) value=$temperature ;;
    utilization.gpu) value="$utilization${units:+ %}" ;;
    power.draw) value="$power${units:+ W}" ;;
    clocks.sm | clocks.current.sm) value="$clock${units:+ MHz}" ;;
    clocks.max.sm) value="3003${units:+ MHz}" ;;
    clocks_event_reasons.active) value=$reasons ;;
    *) value='[N/A]' ;;
    esac
}

title() {
    case $1 in
    memory.total | memory.used | memory.free) title="$1 [MiB]" ;;
    utilization.gpu) title="$1 [%]" ;;
    power.draw) title="$1 [W]" ;;
    clocks.sm) title='clocks.current.sm [MHz]' ;;
    clocks.max.sm) title="$1 [MHz]" ;;
    *) title=$1 ;;
    esac
}

if [ $# = 0 ]; then
    cat <<END
(imitated by sparkctl lab: there is no GPU here)
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI $driver              Driver Version: $driver      CUDA Version: 13.0     |
|   0  NVIDIA GB10                    On  |   0000000F:01:00.0 Off |                  N/A |
|                                         |     Memory-Usage: Not Supported               |
|  No running processes found                                                             |
+-----------------------------------------------------------------------------------------+
END
    exit
fi

query='' fields='' csv='' header=yes units=yes
IFS=', '
for argument; do
    case $argument in
    -L | --list-gpus)
        echo "GPU 0: NVIDIA GB10 (UUID: $uuid)"
        exit
        ;;
    --query-gpu=* | --query-compute-apps=*) query=${argument%%=*} fields=${argument#*=} ;;
    --format=*)
        for word in ${argument#*=}; do
            case $word in csv) csv=yes ;; noheader) header='' ;; nounits) units='' ;; esac
        done
        ;;
    *) query='' && break ;;
    esac
done
if [ -z "$query" ]; then
    echo "Invalid combination of input arguments (imitated): $*"
    exit 6
fi
if [ -z "$csv" ]; then
    echo '"--format=" switch is missing. Please use either "csv" or "csv,...".'
    exit 6
fi

titles='' values=''
for field in $fields; do
    title "$field" && titles="$titles${titles:+, }$title"
    value "$field" && values="$values${values:+, }$value"
done
[ -z "$header" ] || echo "$titles"
[ "$query" = --query-compute-apps ] || echo "$values" # no process uses a GPU that does not exist
