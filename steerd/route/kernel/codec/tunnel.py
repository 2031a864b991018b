"""The far ends of the kernel's own tunnels, from bytes (linux/if_tunnel.h, linux/if_link.h)."""

import struct
from ipaddress import ip_address
from typing import Final, NamedTuple

from steerd.net.netlink import attributes

_U32 = struct.Struct("=I")
_ADDRESS = (4, 16)


class _Places(NamedTuple):
    """Where a kind of tunnel has its remote address, and the mark of its outer packets (0: it has none)."""

    remotes: tuple[int, ...]
    mark: int = 0


_GRE, _IPTUN, _VTI = _Places((7,), 20), _Places((3,), 20), _Places((5,), 6)
_KINDS: Final = {
    **dict.fromkeys((b"gre", b"gretap", b"ip6gre", b"ip6gretap", b"erspan", b"ip6erspan"), _GRE),
    **dict.fromkeys((b"ipip", b"sit", b"ip6tnl"), _IPTUN),
    **dict.fromkeys((b"vti", b"vti6"), _VTI),
    b"vxlan": _Places((2, 16)),
    b"geneve": _Places((2, 7)),
}


def far_end(kind: bytes, data: bytes) -> tuple[str, int]:
    """The remote address of a tunnel's outer packets, and their mark; "" and 0: it is no tunnel, or has none."""
    places = _KINDS.get(kind)
    if places is None:
        return "", 0
    values = dict(attributes(data, 0))
    found = [values[place] for place in places.remotes if place in values]
    addresses = [ip_address(one) for one in found if len(one) in _ADDRESS]
    known = [str(one) for one in addresses if not one.is_unspecified and not one.is_multicast]
    mark = values.get(places.mark, b"") if places.mark else b""
    return known[0] if known else "", _U32.unpack(mark)[0] if len(mark) == _U32.size else 0
