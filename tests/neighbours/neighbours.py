"""What shares a gateway's routing with steerd: how each is started and ended, what is its own, what steerd says of it.

The gateway's world is `steerd.lab.world.world.World`'s, with everything steered. Programs are Debian 12's. Where one
cannot run here, its own commands stand for it, as its sources have them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from ipaddress import ip_address

_BUS = "dbus-daemon --system --nofork --nopidfile --nosyslog"
_CONFIGURED = "until networkctl --no-pager | grep -q 'dmz0.*configured'; do sleep .1; done"
_BABELD = "babeld -L /dev/stderr -I /run/babeld.pid -h 1 -H 1"
_OPENVPN = "openvpn --dev tun9 --dev-type tun --secret /etc/openvpn/key --cipher AES-256-CBC --ping 1"
_ZEBRA = "/usr/lib/frr/zebra -f /etc/frr/zebra.conf -A 127.0.0.1"


class Order(Enum):
    FIRST = "before steerd"
    LAST = "after steerd"


@dataclass(frozen=True)
class Neighbour:
    """``orders``: those in which it and steerd start that are walked. ``route``: lines of steerd's ``[route]``.

    ``files`` lie in its tree. ``daemons`` stay in the foreground and are ended in the reverse order; ``up`` and
    ``down`` are shell commands, after those have started and before they end; ``again`` has it look at its own anew.
    ``outside``: daemons beyond the uplink that it talks to.

    ``owns``: each is in a line of `ip` or `nft` while it runs. ``reaches``: addresses beyond the uplink that its routes
    lead to. ``says``: patterns of what steerd's status says meanwhile; ``takes``: families whose users' packets are
    stopped, or led elsewhere, by the neighbour itself. ``removes``: it removes what is steerd's, so that packets are
    lost until that is there again. ``adds``: a pattern of what it may add at any time. ``silent``: it cuts the
    administrator off, with steerd or without."""

    orders: frozenset[Order] = frozenset(Order)
    route: str = ""
    daemons: tuple[str, ...] = ()
    up: str = ""
    down: str = ""
    again: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    outside: tuple[str, ...] = ()
    owns: tuple[str, ...] = ()
    reaches: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    takes: frozenset[int] = frozenset()
    removes: bool = False
    adds: str = ""
    silent: bool = False


def _networkd(*more: str) -> dict[str, str]:
    return {
        "/etc/systemd/network/dmz.netdev": "[NetDev]\nName=dmz0\nKind=bridge\n",
        "/etc/systemd/network/dmz.network": """
[Match]
Name=dmz0
[Network]
ConfigureWithoutCarrier=yes
[Address]
Address=10.78.0.1/24
Broadcast=no
[Route]
Destination=10.79.0.0/24
Gateway=10.78.0.9
[RoutingPolicyRule]
From=10.78.0.0/24
Table=1078
Priority=100
""",
        **({"/etc/systemd/networkd.conf.d/steerd.conf": "\n".join(("[Network]", *more))} if more else {}),
    }


_NETWORKD = Neighbour(
    files=_networkd(),
    daemons=(_BUS, "/lib/systemd/systemd-networkd"),
    up=_CONFIGURED,
    again=f"networkctl reconfigure dmz0; sleep 1; {_CONFIGURED}",
    owns=("10.79.0.0/24 via 10.78.0.9 dev dmz0 proto static", "100:	from 10.78.0.0/24 lookup 1078 proto static"),
    says=(r"systemd-networkd removes what it does not know; `printf '\[Network\]",),
    removes=True,
)

_WG_QUICK = Neighbour(
    orders=frozenset({Order.FIRST}),
    # As it goes it deletes each rule that looks up main without default routes, ours too: nothing tells them apart.
    removes=True,
    files={
        "/etc/wireguard/wg9.conf": """
[Interface]
PrivateKey = 2BWQOIQ2lf/5wtJKAtW5sAnPa0Dc6qL3lVRI/L5qq28=
Address = 10.9.0.1/24
[Peer]
PublicKey = 2NTqGTzqHy8cBj5QHFkDQw5RVkJzZjbSrUHFAnOLZDk=
Endpoint = 192.0.2.2:51820
AllowedIPs = 0.0.0.0/0
"""
    },
    up="wg-quick up wg9",
    down="wg-quick down wg9",
    owns=("not from all fwmark 0xca6c lookup 51820", "default dev wg9 table 51820", "table ip wg-quick-wg9"),
    says=(r"'not fwmark 0xca6c priority 32765 lookup 51820' comes after steerd's and gets no traffic of policy users",),
    silent=True,
)

_MWAN3 = Neighbour(
    up="""
ip rule add pref 1001 iif wan0 lookup 1001
ip rule add pref 2001 fwmark 0x100/0x3f00 lookup 1001
ip rule add pref 2061 fwmark 0x3d00/0x3f00 blackhole
ip rule add pref 2062 fwmark 0x3e00/0x3f00 unreachable
ip route add 192.0.2.0/24 dev wan0 table 1001
ip route add default via 192.0.2.2 dev wan0 table 1001
for chain in hook rules; do iptables -t mangle -N mwan3_$chain; done
iptables -t mangle -A PREROUTING -j mwan3_hook
iptables -t mangle -A OUTPUT -j mwan3_hook
iptables -t mangle -A mwan3_hook -j CONNMARK --restore-mark --nfmask 0x3f00 --ctmask 0x3f00
iptables -t mangle -A mwan3_hook -m mark --mark 0x0/0x3f00 -j mwan3_rules
iptables -t mangle -A mwan3_hook -j CONNMARK --save-mark --nfmask 0x3f00 --ctmask 0x3f00
for network in 10.77.0.0/24 192.0.2.0/24; do
  iptables -t mangle -A mwan3_hook -d $network -j MARK --set-xmark 0x3f00/0x3f00
done
iptables -t mangle -A mwan3_rules -d 198.51.100.64/26 -m mark --mark 0/0x3f00 -j MARK --set-xmark 0x100/0x3f00
""",
    down="""
for pref in 1001 2001 2061 2062; do ip rule del pref $pref; done
ip route flush table 1001
iptables -t mangle -D PREROUTING -j mwan3_hook
iptables -t mangle -D OUTPUT -j mwan3_hook
for chain in hook rules; do iptables -t mangle -F mwan3_$chain; done
for chain in hook rules; do iptables -t mangle -X mwan3_$chain; done
""",
    owns=("2001:	from all fwmark 0x100/0x3f00 lookup 1001", "mwan3_hook"),
    says=(
        r"'fwmark 0x100/0x3f00 priority 2001 lookup 1001' comes before steerd's and takes .* of policy users by wan0",
        r"rule 'fwmark 0x3d00/0x3f00 priority 2061 blackhole' comes before .* to nowhere: remove it",
    ),
)

BGP_ROUTES = 100_000
BGP = Neighbour(
    files={
        "/etc/frr/zebra.conf": "hostname gw\n",
        "/etc/frr/bgpd.conf": """
router bgp 65001
  no bgp ebgp-requires-policy
  neighbor 192.0.2.2 remote-as 65002
  neighbor 192.0.2.2 timers connect 1
""",
        "/etc/bird/bird.conf": """
router id 192.0.2.2;
protocol device {}
protocol static {
  ipv4;
include "/etc/bird/routes";
}
protocol bgp {
  local 192.0.2.2 as 65002;
  neighbor 192.0.2.1 as 65001;
  connect delay time 1;
  ipv4 { import none; export all; next hop self; };
}
""",
        "/etc/bird/routes": "\n".join(
            f"route {ip_address(0x64400000 + 16 * number)}/28 blackhole;" for number in range(BGP_ROUTES)
        ),
    },
    daemons=(_ZEBRA, "/usr/lib/frr/bgpd -f /etc/frr/bgpd.conf -A 127.0.0.1"),
    outside=("bird -f",),
)
"""A full table, or a tenth of one, from a neighbour beyond the uplink."""

NEIGHBOURS: Mapping[str, Neighbour] = {
    "networkd": _NETWORKD,
    "networkd, told so": replace(
        _NETWORKD,
        files=_networkd("ManageForeignRoutingPolicyRules=no", "ManageForeignRoutes=no"),
        says=(r"systemd-networkd \d+ removes nexthops of others whatever it is told",),
    ),
    "networkd, told so, and no nexthops": replace(
        _NETWORKD,
        route="nexthop_objects = false",
        files=_networkd("ManageForeignRoutingPolicyRules=no", "ManageForeignRoutes=no"),
        says=(),
        removes=False,
    ),
    "FRR": Neighbour(
        files={
            "/etc/frr/zebra.conf": """
ip route 198.51.100.64/26 192.0.2.2
ipv6 route 2001:db8:64::/64 2001:db8::2
""",
        },
        daemons=(_ZEBRA, "/usr/lib/frr/staticd -f /etc/frr/zebra.conf -A 127.0.0.1"),
        owns=("198.51.100.64/26 nhid", "2001:db8:64::/64 nhid", "proto zebra"),
        reaches=("198.51.100.65",),
        # What others remove it takes for its own to restore: steerd then has other numbers.
        adds=r"^id .*proto zebra$",
    ),
    "BIRD": Neighbour(
        files={
            "/etc/bird/bird.conf": """
router id 192.0.2.1;
protocol device {}
protocol direct { ipv4; ipv6; }
protocol kernel { ipv4 { export where source = RTS_STATIC; }; learn; scan time 1; }
protocol kernel { ipv6 { export where source = RTS_STATIC; }; learn; scan time 1; }
protocol static { ipv4; route 198.51.100.64/26 via 192.0.2.2; }
protocol static { ipv6; route 2001:db8:64::/64 via 2001:db8::2; }
"""
        },
        daemons=("bird -f",),
        again="birdc configure; sleep 1.5",
        owns=(
            "198.51.100.64/26 via 192.0.2.2 dev wan0 proto bird",
            "2001:db8:64::/64 via 2001:db8::2 dev wan0 proto bird",
        ),
        reaches=("198.51.100.65",),
    ),
    "babeld": Neighbour(
        daemons=(f"{_BABELD} -C 'redistribute local deny' wan0",),
        outside=(f"{_BABELD} -C 'redistribute local ip 198.51.100.64/26 allow' -C 'redistribute local deny' wan1",),
        owns=("198.51.100.65 via 192.0.2.2 dev wan0 proto babel",),
        reaches=("198.51.100.65",),
    ),
    "keepalived": Neighbour(
        files={
            "/etc/keepalived/keepalived.conf": """
global_defs { router_id gw }
vrrp_instance one {
  interface wan0
  state MASTER
  virtual_router_id 7
  priority 200
  advert_int 1
  virtual_ipaddress { 192.0.2.77/24 dev wan0 }
  virtual_routes { 198.51.100.64/26 via 192.0.2.2 dev wan0
                   default via 192.0.2.2 dev wan0 table 1077 }
  virtual_rules { from 192.0.2.77 lookup 1077 priority 300 }
}
"""
        },
        daemons=("keepalived -n -l -P",),
        owns=(
            "192.0.2.77/24",
            "198.51.100.64/26 via 192.0.2.2 dev wan0 proto keepalived",
            "300:	from 192.0.2.77 lookup 1077",
        ),
        reaches=("198.51.100.65",),
    ),
    "NetworkManager": Neighbour(
        files={
            "/etc/NetworkManager/NetworkManager.conf": """
[main]
plugins=keyfile
no-auto-default=*
[keyfile]
unmanaged-devices=interface-name:lan0;interface-name:wan0
""",
            "/etc/NetworkManager/system-connections/dmz.nmconnection": """
[connection]
id=dmz
type=bridge
interface-name=dmz0
[bridge]
stp=false
[ipv4]
method=manual
address1=10.78.0.1/24
route1=10.79.0.0/24,10.78.0.9
routing-rule1=priority 100 from 10.78.0.0/24 table 1078
[ipv6]
method=disabled
""",
        },
        daemons=(_BUS, "NetworkManager --no-daemon"),
        up="until nmcli -t c show --active | grep -q dmz; do sleep .1; done",
        again="nmcli c up dmz",
        owns=("10.79.0.0/24 via 10.78.0.9 dev dmz0 proto static", "100:	from 10.78.0.0/24 lookup 1078"),
    ),
    "wg-quick": _WG_QUICK,
    "wg-quick, started last": replace(
        _WG_QUICK,
        orders=frozenset({Order.LAST}),
        says=(
            r"'not fwmark 0xca6c priority 4199 lookup 51820' comes before steerd's and takes .* of policy users by wg9",
        ),
        takes=frozenset({4}),
        removes=True,
    ),
    "OpenVPN": Neighbour(
        files={
            "/etc/openvpn/key": "-----BEGIN OpenVPN Static key V1-----\n"
            + "0123456789abcdef\n" * 32
            + "-----END OpenVPN Static key V1-----\n"
        },
        daemons=(f"{_OPENVPN} --remote 192.0.2.2 --ifconfig 10.9.0.1 10.9.0.2 --redirect-gateway def1",),
        outside=(f"{_OPENVPN} --remote 192.0.2.1 --ifconfig 10.9.0.2 10.9.0.1",),
        owns=("0.0.0.0/1 via 10.9.0.2 dev tun9", "128.0.0.0/1 via 10.9.0.2 dev tun9"),
        says=(r"routes of main that are no default routes come before steerd's and take .*tun9",),
        takes=frozenset({4}),
        silent=True,
    ),
    "Tailscale": Neighbour(
        up="""
ip tuntap add tailscale0 mode tun
ip addr add 100.101.102.103/32 dev tailscale0
ip link set tailscale0 up
for family in -4 -6; do
  ip $family rule add pref 5210 fwmark 0x80000/0xff0000 table main
  ip $family rule add pref 5230 fwmark 0x80000/0xff0000 table default
  ip $family rule add pref 5250 fwmark 0x80000/0xff0000 type unreachable
  ip $family rule add pref 5270 table 52
done
ip route add 100.100.100.100 dev tailscale0 table 52
ip route add 100.104.105.106 dev tailscale0 table 52
for chain in input:INPUT forward:FORWARD; do
  iptables -N ts-${chain%:*}
  iptables -I ${chain#*:} -j ts-${chain%:*}
done
iptables -A ts-input -s 100.101.102.103 -i lo -j ACCEPT
iptables -A ts-input ! -i tailscale0 -s 100.64.0.0/10 -j DROP
iptables -A ts-forward -i tailscale0 -j MARK --set-xmark 0x40000/0xff0000
iptables -A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT
iptables -A ts-forward -o tailscale0 -s 100.64.0.0/10 -j DROP
iptables -A ts-forward -o tailscale0 -j ACCEPT
iptables -t nat -N ts-postrouting
iptables -t nat -I POSTROUTING -j ts-postrouting
iptables -t nat -A ts-postrouting -m mark --mark 0x40000/0xff0000 -j MASQUERADE
""",
        down="""
for family in -4 -6; do for pref in 5210 5230 5250 5270; do ip $family rule del pref $pref; done; done
ip link del tailscale0
for chain in input:INPUT forward:FORWARD; do
  iptables -D ${chain#*:} -j ts-${chain%:*}
  iptables -F ts-${chain%:*}
  iptables -X ts-${chain%:*}
done
iptables -t nat -D POSTROUTING -j ts-postrouting
iptables -t nat -F ts-postrouting
iptables -t nat -X ts-postrouting
""",
        owns=("5270:	from all lookup 52", "100.100.100.100 dev tailscale0 table 52", "ts-forward"),
        says=(r"priority 5270 lookup 52' comes after steerd's and gets no traffic of policy users",),
    ),
    "strongSwan": Neighbour(
        files={"/etc/strongswan.d/log.conf": "charon { filelog { stderr { default = 1 } } }\n"},
        # What charon does once there is a connection, which this kernel may have no ESP for.
        daemons=("sh -c 'ip route replace 198.51.100.64/26 via 192.0.2.2 table 220; exec /usr/lib/ipsec/charon'",),
        down="ip route flush table 220",
        owns=("220:	from all lookup 220", "198.51.100.64/26 via 192.0.2.2 dev wan0 table 220"),
        says=(r"'priority 220 lookup 220' comes before steerd's and takes .* of policy users by wan0, where the",),
    ),
    "Docker": Neighbour(
        daemons=("dockerd --storage-driver vfs",),
        owns=("docker0", "DOCKER"),
    ),
    "Docker that turned forwarding on": Neighbour(
        daemons=("dockerd --storage-driver vfs",),
        up="iptables -P FORWARD DROP",
        down="iptables -P FORWARD ACCEPT",
        owns=("docker0", "DOCKER"),
        says=(r"chain FORWARD of nftables' table ip filter drops IPv4 from lan0",),
        takes=frozenset({4}),
    ),
    "firewalld": Neighbour(
        files={
            "/etc/firewalld/zones/internal.xml": """<?xml version="1.0" encoding="utf-8"?>
<zone><short>LAN</short><interface name="lan0"/><service name="ssh"/><forward/></zone>
"""
        },
        daemons=(_BUS, "firewalld --nofork --nopid"),
        up="until firewall-cmd --state; do sleep .1; done",
        again="firewall-cmd --reload",
        owns=("table inet firewalld",),
        says=tuple(
            rf"chain filter_FORWARD of nftables' table inet firewalld may drop IPv{n} from lan0 to" for n in (4, 6)
        ),
        takes=frozenset({4, 6}),
        silent=True,
    ),
    "mwan3": _MWAN3,
    "mwan3, of all traffic": replace(
        _MWAN3,
        orders=frozenset({Order.LAST}),
        up=_MWAN3.up.replace(" -d 198.51.100.64/26", ""),
        takes=frozenset({4, 6}),
    ),
}
