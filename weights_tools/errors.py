"""The one exception of the converting half: an input that is refused.

Raised by every reader and by the converter, caught by the command line (exit code 2). The text
is one sentence that names the place (file, entry, tensor), what was found and what was expected.
"""

from __future__ import annotations


class InputRefused(ValueError):
    """A file, tensor or combination of options that the converter does not accept."""


def plain(name: str, limit: int = 200) -> str:
    """A name from a file made safe to print: escaped and cut, without quotes."""
    return shown(name, limit)[1:-1]


def shown(text: object, limit: int = 80) -> str:
    """Text from a file made safe to print: escaped, quoted and cut to `limit` characters."""
    if isinstance(text, str):
        cut = text if len(text) <= limit else text[: limit - 3] + "..."
        return "'" + cut.encode("unicode_escape").decode("ascii") + "'"
    if isinstance(text, bool | int | float | None):
        if isinstance(text, int) and text.bit_length() > 256:
            return "a huge integer"
        return repr(text)
    return f"a {type(text).__name__}"
