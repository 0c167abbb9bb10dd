"""The two kinds of errors of all codecs in `wire/`.

Received bytes raise a RemoteError and nothing else, whatever they are and however they are split into chunks. Wrong
calls of our own code raise a LocalError. Any other exception is a bug.
"""


class RemoteError(Exception):
    """The peer violated the protocol. The message is one line; the link must end."""


class LocalError(Exception):
    """Our own code asked for something that the protocol cannot carry, or misused the codec."""
