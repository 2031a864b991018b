"""Rights that are given up: what comes from the network, or is another's program, is not to have them."""

import ctypes
import os
import struct
from typing import Final

_VERSION: Final = 0x20080522  # _LINUX_CAPABILITY_VERSION_3 (linux/capability.h): two sets of 32 bits
_HEADER: Final = struct.Struct("=Ii")
_SETS: Final = bytes(2 * 3 * 4)  # effective, permitted, inheritable: none
_NO_NEW_PRIVILEGES: Final = 38  # linux/prctl.h
_AMBIENT: Final = 47
_CLEAR_ALL: Final = 4

_libc = ctypes.CDLL(None, use_errno=True)


def drop() -> None:
    """Give up all capabilities, for good: of this thread, and of those it starts. OSError: the kernel refuses."""
    # What is run afterwards, if anything is, gets none back, though its user be root.
    if (
        _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        or _libc.prctl(_AMBIENT, _CLEAR_ALL, 0, 0, 0)
        or _libc.capset(_HEADER.pack(_VERSION, 0), _SETS)
    ):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
