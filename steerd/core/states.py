"""The words for what a path and a policy are, and for why a choice was made."""

from enum import StrEnum


class PathState(StrEnum):
    UP = "up"
    SUSPECT = "suspect"  # a probe is overdue, its tunnel is stale, or nothing was ever heard
    DOWN = "down"
    RECOVERING = "recovering"  # answers again, not yet trusted
    ABSENT = "absent"  # its device is down or not there, or the kernel refuses its next hop


class PolicyState(StrEnum):
    STEERING = "steering"  # on a usable path
    HELD = "held"  # no usable path; the last choice stays (when_none = keep, or a hard pin)
    LOCAL_OUTAGE = "local-outage"  # nothing answers on the uplink: the fault is on this side
    BLOCKED = "blocked"  # no usable path; when_none = block
    NONE = "none"  # no choice was made yet


class Reason(StrEnum):
    """Why a choice was made: the label of steerd_switches_total."""

    START = "start"
    BETTER = "better"
    DOWN = "down"
    ABSENT = "absent"
    DRAIN = "drain"
    UNDRAIN = "undrain"
    PIN = "pin"
    POLICY = "policy"
    KERNEL = "kernel"
