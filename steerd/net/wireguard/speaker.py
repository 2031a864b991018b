"""Reads and changes WireGuard devices, whoever serves them. Blocking: for one thread at a time."""

import errno
import os
import struct
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Final, Self

from steerd.net.netlink import NETLINK_GENERIC, Connection, Message, attribute, attributes
from steerd.net.wireguard import genl, uapi
from steerd.net.wireguard.device import KEY_BYTES, AllowedIp, Device, Grant, WireGuardError

_RTM_GETLINK: Final = 18
_IFINFO = struct.Struct("=BBHiII")  # struct ifinfomsg: family, padding, type, index, flags, change
_IFNAME, _LINKINFO, _INFO_KIND = 3, 18, 1
_NOT_THERE: Final = {errno.ENODEV, errno.ENOENT, errno.EOPNOTSUPP}


class Speaker:
    """Asks the kernel about WireGuard only once one of its WireGuard devices is met: to ask loads the module."""

    def __init__(self) -> None:
        self._links: Connection | None = None
        self._kernel: Connection | None = None
        self._family = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open; the next question opens it again."""
        for one in (self._links, self._kernel):
            if one is not None:
                one.close()
        self._links = self._kernel = None

    def read(self, name: str) -> Device | None:
        """The device now; None: it is not there, or no WireGuard one. Raises `WireGuardError`."""
        try:
            if (answer := uapi.exchange(name, uapi.GET)) is not None:
                return uapi.decode(name, answer)
            if not self._of_kernel(name):
                return None
            kernel, family = self._asked()
            return genl.decode(name, kernel.dump(family, genl.get_request(name)))
        except WireGuardError:
            raise
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise WireGuardError.of(name, error) from error
        except Exception as error:  # whatever a program says of its device
            raise WireGuardError(0, f"{name}: what is said of it cannot be read: {error}") from error

    def grant(self, name: str, grants: Sequence[Grant]) -> None:
        """Give allowed IPs to peers, from whoever has them. Raises `WireGuardError`, and then some may have moved."""
        self._change(name, uapi.set_request(grants), genl.set_requests(name, grants))

    def drop(self, name: str, allowed: Iterable[AllowedIp]) -> None:
        """Take allowed IPs from whoever has them. Raises `WireGuardError`."""
        known, stand_in = tuple(sorted(allowed)), b64encode(os.urandom(KEY_BYTES)).decode()
        if known:
            self._change(name, uapi.drop_request(known, stand_in), genl.drop_requests(name, known, stand_in))

    def point(self, name: str, peer: str, address: str, port: int) -> None:
        """Tell an existing peer where its far end is. Raises `WireGuardError`."""
        self._change(name, uapi.point_request(peer, address, port), [genl.point_request(name, peer, address, port)])

    def _change(self, name: str, text: bytes, messages: Iterable[bytes]) -> None:
        if (answer := uapi.exchange(name, text)) is not None:
            uapi.check(name, answer)
            return
        try:
            kernel, family = self._asked()
            # One by one: each may be as large as a socket sends at once.
            refused = [one for body in messages for one in kernel.change([Message(family, 0, body)])]
        except OSError as error:
            raise WireGuardError.of(name, error) from error
        if refused:
            raise WireGuardError(refused[0].errno, f"{name}: {refused[0].text}")

    def _asked(self) -> tuple[Connection, int]:
        if self._kernel is None:
            self._kernel, self._family = Connection(NETLINK_GENERIC), 0
        if not self._family:
            answer = self._kernel.ask(genl.GENL_ID_CTRL, genl.family_request())
            self._family = genl.decode_family(answer[0])
        return self._kernel, self._family

    def _of_kernel(self, name: str) -> bool:
        """Whether the device is a WireGuard one of the kernel's."""
        self._links = self._links or Connection()
        request = bytes(_IFINFO.size) + attribute(_IFNAME, name.encode() + b"\0")
        for body in self._links.ask(_RTM_GETLINK, request):
            info = dict(attributes(body, _IFINFO.size)).get(_LINKINFO, b"")
            return dict(attributes(info, 0)).get(_INFO_KIND, b"").rstrip(b"\0") == genl.FAMILY.encode()
        return False
