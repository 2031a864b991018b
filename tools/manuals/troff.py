"""Text as roff has it, for the `man` macros."""

import re

_CODE = re.compile(r"`([^`]+)`")


def escaped(text: str) -> str:
    """The same text: nothing in it is a request or an escape, and a hyphen can be copied as what is typed."""
    plain = text.replace("\\", "\\(rs").replace("-", "\\-").replace("`", "\\(ga").replace("^", "\\(ha")
    plain = plain.replace("~", "\\(ti").replace("'", "\\(aq")
    return "\\&" + plain if plain.startswith(".") else plain


def words(text: str) -> str:
    """A sentence with `code` in it, which is set in bold."""
    parts = _CODE.split(text)
    return "".join(f"\\fB{escaped(part)}\\fR" if at % 2 else escaped(part) for at, part in enumerate(parts))


def bold(text: str) -> str:
    return f"\\fB{escaped(text)}\\fR"


def italic(text: str) -> str:
    return f"\\fI{escaped(text)}\\fR"


def item(head: str, *paragraphs: str) -> str:
    """A term, already roff, and what is said of it."""
    first, *others = [one for one in paragraphs if one] or [""]
    return f".TP\n{head}\n{first}\n" + "".join(f".br\n{one}\n" for one in others)
