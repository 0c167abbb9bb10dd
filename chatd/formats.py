"""Formats that several layers share: the shape of a node id, and the size of a frame around a text.

Imports nothing of chatd. `config/`, `wire/` and `peers/` do not see each other and must agree on these.
"""

import re
from typing import Final

ID_CHARACTER: Final = "[a-z2-7]"  # base32 in lower case, as in node ids and epochs
NODE_ID_LENGTH: Final = 52
NODE_ID: Final = re.compile(rf"{ID_CHARACTER}{{{NODE_ID_LENGTH}}}")
DECIDING_PREFIX: Final = 16  # characters of a node id that no other id can be made to start with (80 bits)
# Bytes of a Text, Say or Said besides its text, at most (379 today): `frame_bytes` must hold both.
TEXT_OVERHEAD: Final = 512
