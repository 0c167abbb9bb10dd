#!/usr/bin/env python3
"""Answers every message with its own text. Kill it, kill the daemon, start it again: every message is answered once.

What is said in rooms it leaves alone. Run it where chatd is installed: python examples/echo_bot.py
"""

from chatctl.client import Client


def main() -> None:
    """A message counts as done when the loop comes back for the next. The key makes a second answer to it the first."""
    with Client.open(patience=3600) as client:  # how long a daemon that is away is waited for
        for message in client.messages(as_="echo-bot"):
            # Two bots that answer answers would never stop; and in a room everybody would hear it.
            if message["re"] is None and message["room"] is None:
                client.reply(message, message["text"], key=f"echo {message['position']}")


if __name__ == "__main__":
    main()
