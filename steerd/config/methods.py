"""The ways to probe, as far as the configuration knows them: what each takes, and what its packets weigh."""

from typing import Final, NamedTuple


class Method(NamedTuple):
    """``packets``: bytes behind the IP header of each packet that an answered probe sends, without its payload.
    ``payload``: bytes of the usual one (0: it has none, and takes no ``size``), ``keyed_payload`` of that with a
    ``key_file`` (0: it takes no key). ``step``: a longer payload begins with a header of so many bytes more. ``port``:
    the usual one (0: it takes none). ``directed``: it tells the way out from the way back. ``gets``: it asks for a
    page; ``queries``: for a name."""

    packets: tuple[int, ...]
    payload: int = 0
    keyed_payload: int = 0
    step: int = 0
    port: int = 0
    directed: bool = False
    gets: bool = False
    queries: bool = False

    def takes(self, key: str) -> bool:
        """Whether a path's key applies to it, one of `KEYS`."""
        page = dict.fromkeys(("get", "expect", "body"), self.gets)
        own = {"port": self.port, "size": self.payload, "key_file": self.keyed_payload, "query": self.queries}
        return bool((own | page)[key])


KEYS: Final = ("port", "size", "key_file", "get", "expect", "body", "query")
"""What some methods have no use for."""

METHODS: Final = {
    # As many bytes as `ping` sends, behind an ICMP header.
    "icmp": Method((8,), payload=56),
    # A SYN with its options, the ACK that ends the handshake, and the RST that takes it back.
    "tcp": Method((40, 32, 32), port=443),
    # The same with a request of some 120 bytes between, its acknowledgement, and that of the answer.
    "http": Method((40, 32, 152, 32, 32), port=80, gets=True),
    # A query for a name of some 12 bytes behind the headers of UDP and DNS.
    "dns": Method((38,), port=53, queries=True),
    # STAMP (RFC 8762) behind a UDP header; any more bytes begin with the header of a TLV (RFC 8972).
    "udp": Method((8,), payload=44, keyed_payload=112, step=4, port=862, directed=True),
}

MAX_PAYLOAD: Final = 1472  # bytes that fit behind the headers of IPv4 and of UDP or ICMP in an Ethernet frame


def known(value: object) -> str:
    """The name of a method. ValueError: it is none."""
    if not isinstance(value, str) or value not in METHODS:
        *names, last = (f'"{name}"' for name in METHODS)
        raise ValueError(f"must be {', '.join(names)} or {last}")
    return value
