"""What a file says, section by section and key by key, and how two of them differ, in words."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from zlib import crc32

from steerd.config.hook import origin
from steerd.config.prefixes import count
from steerd.config.route_settings import RoutePolicy
from steerd.config.settings import Config

Written = Mapping[str, Mapping[str, str]]
"""By section (`[probe]`, `pop fra1`, `path fra1/wg0`, `policy default`) and key, values as they are shown."""

_LONG: Final = 60


def written(tables: Mapping[str, Any]) -> Written:
    """Of a file that was found to be good."""
    found: dict[str, dict[str, str]] = {}
    for name, table in tables.items():
        if isinstance(table, Mapping):
            found[f"[{name}]"] = dict(_keys(table)) | (_without_query(table) if name == "catalogue" else {})
        for entry in table if isinstance(table, list) else ():
            own = {key: value for key, value in entry.items() if key not in {"name", "paths"}}
            found[f"{name} {entry['name']}"] = dict(_keys(own)) | (_hidden(own) if name == "hook" else {})
            for path in entry.get("paths", ()):
                label = path.get("name", path["dev"])
                found[f"path {entry['name']}/{label}"] = dict(_keys(path))
    return found


def _hidden(hook: Mapping[str, Any]) -> dict[str, str]:
    """Of a hook what others may know, who are told of it: not the path of its URL, nor what its program is given."""
    url, run = hook.get("url"), hook.get("run")
    shown = {"url": url and f"{origin(url)}/...", "run": run and f"{run[0]} ..."}
    return {key: f"{json.dumps(text)} #{crc32(_text(hook[key])):08x}" for key, text in shown.items() if text}


def _without_query(catalogue: Mapping[str, Any]) -> dict[str, str]:
    """A token may stand there."""
    url, mark, _ = str(catalogue.get("url")).partition("?")
    return {"url": f"{json.dumps(url)} #{crc32(_text(catalogue['url'])):08x}"} if mark else {}


def differences(before: Config, after: Config) -> list[str]:
    """What the second says that the first does not, or otherwise: one line each, in the order of the files."""
    old, new = before.written, after.written
    lines = [f"{section}: gone" for section in old if section not in new and not section.startswith("[")]
    for section in dict.fromkeys([*new, *old]):
        if section in new and section not in old and not section.startswith("["):
            lines.append(f"{section}: new")
        elif section in new or section.startswith("["):
            lines += (f"{section} {words}" for words in _changed(old.get(section, {}), new.get(section, {})))
    return [*lines, *_lists(before, after)]


def _keys(table: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _keys(value, f"{within}{key}.")
        else:
            yield f"{within}{key}", _shown(value)


def _shown(value: Any) -> str:
    text = _text(value)
    return text.decode() if len(text) <= _LONG else f"{_size(value)} #{crc32(text):08x}"


def _text(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _size(value: Any) -> str:
    return f"{len(value)} entries" if isinstance(value, list) else f"{len(value)} characters"


def _changed(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for key in dict.fromkeys([*old, *new]):
        was, will = old.get(key), new.get(key)
        if was != will:
            told = [one.partition(" #")[0] if one is not None else "its default" for one in (was, will)]
            yield f"{key}: {told[0]} -> {told[1] if told[0] != told[1] else f'{told[1]}, others'}"


def _lists(before: Config, after: Config) -> Iterator[str]:
    """What files of prefixes have now, where the configuration itself says the same."""
    former = {policy.policy: policy for policy in before.route.policies}
    for policy in after.route.policies:
        was = former.get(policy.policy)
        section = f"policy {policy.policy}"
        if was and _content(was) != _content(policy) and before.written.get(section) == after.written.get(section):
            yield f"{section} files of prefixes: {_counted(was)} -> {_counted(policy)}"


def lists_differ(before: Config, after: Config) -> bool:
    """Whether any policy has other prefixes."""
    one, other = ({policy.policy: _content(policy) for policy in config.route.policies} for config in (before, after))
    return one != other


def _content(policy: RoutePolicy) -> tuple[Any, Any]:
    return policy.prefixes, policy.excepted


def _counted(policy: RoutePolicy) -> str:
    number = count(policy.prefixes)
    return f"{number} {'prefix' if number == 1 else 'prefixes'}"
