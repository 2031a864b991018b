"""All that is fuzzed, by name."""

from collections.abc import Mapping

from tests.fuzz import files, messages, packets
from tests.fuzz.target import Target

TARGETS: Mapping[str, Target] = {one.name: one for one in (*files.TARGETS, *messages.TARGETS, *packets.TARGETS)}
