"""Shell scripts of faults' changes that one program cannot make, or undo."""

from __future__ import annotations

# A bind mount hides a file without changing it. Where there is no file, or a dangling link, a copy
# takes its place.
COVER = """\
if [ -e "$2" ]; then exec mount --bind "$1" "$2"; fi
if [ -L "$2" ]; then mv -T "$2" "$1.link"; fi
cp --preserve=mode "$1" "$2"
"""
# $3: whether a bind mount hid the path; else it is the copy.
UNCOVER = """\
if mountpoint --quiet "$2"; then exec umount "$2"; fi
if [ "$3" = True ]; then exit 0; fi
rm --force "$2"
if [ -L "$1.link" ]; then mv -T "$1.link" "$2"; fi
"""

# Renames the RDMA device in the folder $1 with the uverbs device $2 from $3 to $4.
RENAME_DEVICE = """\
mv "/sys/$1/$3" "/sys/$1/$4"
rm "/sys/class/infiniband/$3"
ln -s "../../$1/$4" "/sys/class/infiniband/$4"
echo "$4" >"/sys/$2/ibdev"
"""

# Exchanges the slots $2 and $3 of the GID table in $1, unless $2 has the GID $4.
EXCHANGE_GIDS = """\
if [ "$(cat "$1/gids/$2")" = "$4" ]; then exit 0; fi
for table in gids gid_attrs/types gid_attrs/ndevs; do
    mv -T "$1/$table/$2" "$1/swap"
    mv -T "$1/$table/$3" "$1/$table/$2"
    mv -T "$1/swap" "$1/$table/$3"
done
"""

# Exchanges the names of two links, unless $1 has the index $3. Until Linux 6.2 only a link that is
# down can be renamed; it keeps its addresses. Each is up afterwards if it was.
EXCHANGE_LINKS = """\
if ip -oneline link show dev "$1" | grep -q "^$3:"; then exit 0; fi
up() { ip link show dev "$1" up | grep -q .; }
first=; second=
if up "$1"; then first=up; fi
if up "$2"; then second=up; fi
ip link set "$1" down
ip link set "$2" down
ip link set "$1" name swap
ip link set "$2" name "$1"
ip link set swap name "$2"
if [ "$second" ]; then ip link set "$1" up; fi
if [ "$first" ]; then ip link set "$2" up; fi
"""

# `sparkctl down` and `doctor --fix` may have removed the record before healing, and a cluster
# started since may have written its own.
REMOVE_RECORD = """\
cd "/root/$1" 2>/dev/null || exit 0
if grep --quiet "$2" applied.json; then
    rm applied.json
    cd /root
    rmdir --ignore-fail-on-non-empty --parents "$1"
fi
"""

# Those that are still there.
CONTINUE = """\
for pid in "$@"; do
    if [ -e "/proc/$pid" ]; then kill -CONT "$pid"; fi
done
"""

WRITE = 'printf %s "$2" >"$1"'


def sh(script: str, *words: str) -> list[str]:
    """The argv that runs a script with these arguments; it ends at the first command that fails."""
    return ["sh", "-ec", script, "sh", *words]
