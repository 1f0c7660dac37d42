"""How to let the fabric's packets in, by the firewall that a node has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.remedy import Remedy, command
from sparkctl.facts.unread import Unread

if TYPE_CHECKING:
    from sparkctl.doctor.snapshot import Snapshot

# By the names of node/firewalls.py. nftables has no command that fits every table: an accept counts
# only in the chain that drops, in front of the drop.
FORMS = {
    "ufw": "`ufw allow from {network}`",
    "firewalld": "add the source {network} to the zone trusted",
    "nftables": "`ip saddr {network} accept` in front of the rule that drops",
    "iptables": "`iptables -I INPUT -s {network} -j ACCEPT`",
}
COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "ufw": (("sudo", "ufw", "allow", "from", "{network}"),),
    "firewalld": (
        ("sudo", "firewall-cmd", "--permanent", "--zone=trusted", "--add-source={network}"),
        ("sudo", "firewall-cmd", "--reload"),
    ),
    "nftables": (("sudo", "nft", "list", "ruleset"),),
    "iptables": (("sudo", "iptables", "-I", "INPUT", "-s", "{network}", "-j", "ACCEPT"),),
}
MORE = {
    "ufw": "",
    "firewalld": "",
    "nftables": ": put `ip saddr {network} accept` in front of the rule that drops, and in the file"
    " that loads the rules, such as /etc/nftables.conf",
    "iptables": ", and save the rules where they are loaded from, such as /etc/iptables/rules.v4",
}


def remedy(snapshot: Snapshot, name: str, network: str, workers: tuple[int, int]) -> Remedy:
    """What makes a node accept everything from a subnet of the fabric."""
    low, high = workers
    accept = f"accept everything from {network} on {name}"
    why = f"Ray's workers use ports {low} to {high} as well, and PyTorch any port"
    which = firewall(snapshot, name)
    if which is None:
        forms = "; ".join(f"{each}: {form}" for each, form in FORMS.items())
        forms = forms.format(network=network)
        return Remedy(f"{accept} ({why}). Which firewall drops is not known; {forms}")
    lines = (command(*(w.format(network=network) for w in argv)) for argv in COMMANDS[which])
    return Remedy(f"{accept}{MORE[which].format(network=network)} ({why})", tuple(lines))


def firewall(snapshot: Snapshot, name: str) -> str | None:
    """The node's one active firewall, or the only one installed; None if that is not certain."""
    look = snapshot.looks.peers.get(name)
    if look is None or isinstance(look, Unread) or look.firewalls is None:
        return None
    known = look.firewalls.active or look.firewalls.installed
    return known[0] if len(known) == 1 and known[0] in FORMS else None
