"""Something worth telling, as hooks are told it."""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple


class Topic(StrEnum):
    """What a hook can ask to be told of, by the names of the configuration."""

    SWITCH = "switch"
    OUTAGE = "outage"
    PATH = "path"
    DRAIN = "drain"
    RELOAD = "reload"
    ASTRAY = "astray"


class Notice(NamedTuple):
    """``text`` is a sentence for people; ``details`` are for programs; ``at`` is when, as RFC 3339 has it."""

    topic: Topic
    gateway: str
    at: str
    text: str
    details: Mapping[str, Any]

    def body(self) -> bytes:
        """A JSON object and a line feed."""
        told = {"event": self.topic.value, "gateway": self.gateway, "at": self.at, "text": self.text, **self.details}
        return json.dumps(told, ensure_ascii=False).encode() + b"\n"


class HookError(Exception):
    """A hook did not take a notice. The message says why, in one line."""
