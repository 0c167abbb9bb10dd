r"""Makes text harmless before a person sees it.

Whatever a peer says must not move the cursor, change colours, reorder a line or pass for a line of ours. What could
is shown as `\x1b` or `\u202e`; nothing is dropped, so that an odd text is seen to be odd. Knows nothing of events.
"""

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from re import Match

# C0, DEL and C1; bidirectional controls; U+2028 and U+2029; interlinear marks; lone surrogates; the byte order mark.
_CLASS = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff"
_HARMFUL = re.compile(f"[{_CLASS}]")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
INDENT = "    "


def inline(text: str) -> str:
    """`text` as one harmless line: line breaks are shown as `\\n` too."""
    return text if text.isascii() and text.isprintable() else _HARMFUL.sub(_shown, text)


def block(text: str) -> str:
    """`text` as harmless lines, each but the first indented, so that none of them looks like the next entry."""
    if "\n" not in text:
        return inline(text)
    return f"\n{INDENT}".join(inline(line.removesuffix("\r")) for line in text.split("\n"))


def encoded(document: str) -> str:
    """JSON with the same meaning, harmless on a terminal: JSON itself escapes C0 only."""
    return _HARMFUL.sub(_escaped, document)


def _shown(match: "Match[str]") -> str:
    character = match[0]
    code = ord(character)
    return _NAMED.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def _escaped(match: "Match[str]") -> str:
    return f"\\u{ord(match[0]):04x}"
