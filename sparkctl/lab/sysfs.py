"""The imitated part of a node's files: the ConnectX-7 in sysfs, and nvidia-smi.

Paths and forms: facts/spark-fabric.md, section sysfs. They are laid as an upper layer over a real
sysfs, so that MTU, carrier and operstate are the kernel's own.
"""

from __future__ import annotations

from pathlib import Path

from sparkctl.lab.spec import CABLED, HALVES, HalfSpec, NodeSpec

GID_SLOTS = 256  # as mlx5 has
EMPTY = "0000:0000:0000:0000:0000:0000:0000:0000"
COUNTERS = ("port_xmit_data", "port_rcv_data", "port_xmit_packets", "port_rcv_packets")
LOSS = ("packet_seq_err", "out_of_sequence", "roce_adp_retrans", "req_transport_retries_exceeded")
NVIDIA_SMI = """\
#!/bin/sh
# Imitated by `sparkctl lab`: answers as a GB10 does, there is no GPU.
case "$*" in
*-L*) echo "GPU 0: NVIDIA GB10 (UUID: GPU-00000000-0000-0000-0000-0000000000NN)" ;;
*--query-compute-apps=*) case "$*" in *noheader*) ;; *) echo "pid, process_name" ;; esac ;;
*--query-gpu=*)
    fields=$(printf '%s\\n' "$@" | sed -n 's/^--query-gpu=//p')
    case "$*" in *noheader*) ;; *) echo "$fields" | sed 's/,/, /g' ;; esac
    line=
    for field in $(echo "$fields" | tr , ' '); do
        case $field in
        name|gpu_name) value="NVIDIA GB10" ;;
        driver_version) value=580.95.05 ;;
        index|count) value=0 ;;
        *) value="[N/A]" ;;
        esac
        line="$line${line:+, }$value"
    done
    echo "$line" ;;
*)
    echo "(imitated by sparkctl lab: there is no GPU here)"
    echo "| NVIDIA-SMI 580.95.05    Driver Version: 580.95.05    CUDA Version: 13.0 |"
    echo "|   0  NVIDIA GB10             On  |   Memory-Usage: Not Supported        |" ;;
esac
"""


def write(node: NodeSpec, *, cabled: bool) -> None:
    """Write the upper layers of the node's /sys and of its /usr/local."""
    upper = node.folder / "sys"
    for index, half in enumerate(HALVES):
        _half(upper, node, half, index, active=cabled and half in CABLED)
    tool = node.folder / "root/usr/local/bin/nvidia-smi"
    tool.parent.mkdir(parents=True)
    tool.write_text(NVIDIA_SMI.replace("NN", f"{node.number:02d}"))
    tool.chmod(0o755)


def _put(folder: Path, values: dict[str, str]) -> None:
    for name, value in values.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value + "\n")


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def _half(upper: Path, node: NodeSpec, half: HalfSpec, index: int, *, active: bool) -> None:
    domain = half.pci.partition(":")[0]
    pci = f"devices/pci{domain}:00/{half.pci}"
    guid = f"4cbb:4703:00{node.number:02x}:0000"
    device = f"{pci}/infiniband/{half.hca}"
    _put(upper / pci, {"current_link_speed": "32.0 GT/s PCIe", "current_link_width": "4",
                       "max_link_speed": "32.0 GT/s PCIe", "max_link_width": "4",
                       "vendor": "0x15b3", "device": "0x1021"})  # fmt: skip
    _put(upper / device, {"sys_image_guid": guid, "node_guid": f"{guid[:-1]}{index}",
                          "fw_ver": "28.45.4028", "node_type": "1: CA"})  # fmt: skip
    _port(upper / device / "ports/1", node, half, active=active)
    _link(upper / device / "device", f"../../../{half.pci}")
    _link(upper / "class/infiniband" / half.hca, f"../../{device}")
    verbs = f"{pci}/infiniband_verbs/uverbs{index}"
    _put(upper / verbs, {"ibdev": half.hca, "dev": f"231:{192 + index}"})
    _link(upper / f"class/infiniband_verbs/uverbs{index}", f"../../{verbs}")
    _link(upper / pci / "net" / half.interface, f"../../../virtual/net/{half.interface}")
    net = upper / "devices/virtual/net" / half.interface
    _put(net, {"phys_port_name": f"p{half.cage}"})
    if active:
        _put(net, {"speed": "200000"})
    _link(net / "device", f"../../../pci{domain}:00/{half.pci}")


def _port(port: Path, node: NodeSpec, half: HalfSpec, *, active: bool) -> None:
    _put(port, {
        "state": "4: ACTIVE" if active else "1: DOWN",
        "phys_state": "5: LinkUp" if active else "3: Disabled",
        "rate": "200 Gb/sec (2X NDR)" if active else "40 Gb/sec (4X QDR)",
        "link_layer": "Ethernet",
    })  # fmt: skip
    _put(port / "counters", dict.fromkeys(COUNTERS, "0"))
    _put(port / "hw_counters", dict.fromkeys(LOSS, "0"))
    filled = _gids(node, half) if active else {}
    _put(port / "gids", {str(n): filled.get(n, (EMPTY, ""))[0] for n in range(GID_SLOTS)})
    for number, (_, kind) in filled.items():
        _put(port / "gid_attrs/types", {str(number): kind})
        _put(port / "gid_attrs/ndevs", {str(number): half.interface})


def _gids(node: NodeSpec, half: HalfSpec) -> dict[int, tuple[str, str]]:
    """As mlx5 fills its table: link-local and IPv4, each as RoCE v1 and v2."""
    a, b, c, d = (int(x) for x in node.fabric_address(half).split("."))
    ipv4 = f"0000:0000:0000:0000:0000:ffff:{a:02x}{b:02x}:{c:02x}{d:02x}"
    local = f"fe80:0000:0000:0000:4ebb:47ff:fe00:{c:02x}{d:02x}"
    kinds = ("IB/RoCE v1", "RoCE v2")
    return {i: (gid, kinds[i % 2]) for i, gid in enumerate((local, local, ipv4, ipv4))}
