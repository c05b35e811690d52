"""Reads which Go modules a program was made of, as ``go version -m`` does, where there is no Go.

The Go linker writes them into each program. The format is that of the package debug/buildinfo:
https://cs.opensource.google/go/go/+/master:src/debug/buildinfo/buildinfo.go
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC: Final = b"\xff Go buildinf:"
_FLAGS_OFFSET: Final = 15
_STRINGS_INLINE: Final = 2
_HEADER_BYTES: Final = 32
# Around the list of modules stand marks, by which programs that run are searched.
_MARK_BYTES: Final = 16


class NotGo(ValueError):  # noqa: N818 - says what is wrong with a value, as ValueError does
    """Raised when a file is no program of Go 1.18 or later."""


@dataclass(frozen=True)
class GoProgram:
    """What a program was made of.

    Attributes:
        go: version of the compiler and of the standard library, such as ``1.26.1``.
        modules: version of each module, by its path; of a replaced one, what stands in its place.
    """

    go: str
    modules: dict[str, str]


def read(program: Path) -> GoProgram:
    """Return what a program was made of.

    Raises:
        NotGo: it does not say so.
    """
    content = program.read_bytes()
    at = content.find(_MAGIC)
    while at >= 0:
        # The same bytes may stand in a program's text too: the right ones are followed by a version.
        if content[at + _FLAGS_OFFSET] & _STRINGS_INLINE:
            version, end = _string(content, at + _HEADER_BYTES)
            if version.startswith(b"go1."):
                modules, _ = _string(content, end)
                return GoProgram(
                    version.decode().removeprefix("go").split()[0],
                    _modules(modules[_MARK_BYTES:-_MARK_BYTES].decode()),
                )
        at = content.find(_MAGIC, at + 1)
    raise NotGo(f"{program} does not say which Go modules it is made of")


def _string(content: bytes, at: int) -> tuple[bytes, int]:
    """Return a string with its length before it (a varint), and where it ends."""
    length = shift = 0
    while content[at] & 0x80:
        length |= (content[at] & 0x7F) << shift
        shift += 7
        at += 1
    length |= content[at] << shift
    return content[at + 1 : at + 1 + length], at + 1 + length


def _modules(text: str) -> dict[str, str]:
    found: list[tuple[str, str]] = []
    for kind, *fields in (line.split("\t") for line in text.splitlines()):
        if kind == "=>":
            found.pop()
        if kind in ("dep", "=>"):
            found.append((fields[0], fields[1]))
    return dict(found)
