r"""Makes text harmless before a person sees it.

Whatever a peer says must not move the cursor, change colours, reorder or hide a part of a line, or pass for a line of
ours. What could is shown as `\x1b`, `\u202e` or `\U000e0041`; nothing is dropped, so that an odd text is seen to be
odd. Knows nothing of events.

Harmful is every control, format, private or unassigned character, half of a character, and line separator: what Python
calls not printable, with two kinds of exceptions. Blanks of any width are text. So are the format characters without
which people cannot write: the joiners of Persian, of Indian scripts and of emoji, and the signs over Arabic numbers.
"""

BLANKS = "\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
JOINERS = "\u200c\u200d"
NUMBER_SIGNS = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
TEXT = frozenset(BLANKS + JOINERS + NUMBER_SIGNS)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
INDENT = "    "


def inline(text: str) -> str:
    """`text` as one harmless line: line breaks are shown as `\\n` too."""
    if text.isprintable():
        return text
    return "".join([each if each.isprintable() or each in TEXT else _shown(each) for each in text])


def block(text: str) -> str:
    """`text` as harmless lines, each but the first indented, so that none of them looks like the next entry."""
    if "\n" not in text:
        return inline(text)
    return f"\n{INDENT}".join(inline(line.removesuffix("\r")) for line in text.split("\n"))


def encoded(document: str) -> str:
    """JSON with the same meaning, harmless on a terminal: JSON itself escapes C0 only."""
    if document.isprintable():
        return document
    return "".join([each if each.isprintable() or each in TEXT else _escaped(each) for each in document])


def _shown(character: str) -> str:
    code = ord(character)
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return _NAMED.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def _escaped(character: str) -> str:
    """Of a character beyond U+FFFF both halves."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join([f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)])
