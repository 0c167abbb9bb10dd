r"""Escapes text before it is shown to people.

Text from a peer must not move the cursor, change colours, reorder or hide part of a line, or look like a line of ours.
Harmful characters are shown as `\x1b`, `\u202e` or `\U000e0041`. Nothing is dropped, so strange text looks strange.
Knows no events. Used wherever text from peers is printed.

Harmful characters are those that Python calls not printable: control, format, private and unassigned characters,
surrogates and line separators. Two groups are allowed all the same: blanks of any width, and the format characters that
scripts need, i.e. the joiners of Persian, Indian scripts and emoji, and the signs over Arabic numbers.
"""

BLANKS = "\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
JOINERS = "\u200c\u200d"
NUMBER_SIGNS = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
TEXT = frozenset(BLANKS + JOINERS + NUMBER_SIGNS)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
INDENT = "    "


def inline(text: str) -> str:
    """Escape `text` to one line. Line breaks become `\\n`."""
    if text.isprintable():
        return text
    return "".join([each if each.isprintable() or each in TEXT else _visible(each) for each in text])


def block(text: str) -> str:
    """Escape `text` and keep its lines. All but the first are indented, so that none looks like the next entry."""
    if "\n" not in text:
        return inline(text)
    return f"\n{INDENT}".join(inline(line.removesuffix("\r")) for line in text.split("\n"))


def encoded(document: str) -> str:
    """Escape JSON for a terminal without changing its meaning. JSON itself escapes only C0 characters."""
    if document.isprintable():
        return document
    return "".join([each if each.isprintable() or each in TEXT else _json_escape(each) for each in document])


def _visible(character: str) -> str:
    code = ord(character)
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return _NAMED.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def _json_escape(character: str) -> str:
    """Escape a character beyond U+FFFF as a surrogate pair."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join([f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)])
