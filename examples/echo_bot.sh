#!/bin/sh
# Answers every message with its own text. Kill it, kill the daemon, start it again: every message is answered once.
# A message is done when the command ends with 0; the key makes a second answer to it the first.
# What is said in rooms it leaves alone. Run it where chatctl is on the PATH: sh examples/echo_bot.sh

exec chatctl --connect-timeout 1h tail --as echo-bot --exec '
    test -n "$MSG_RE$MSG_ROOM" || chatctl reply --key "echo $MSG_POSITION" "$MSG_ID" -- "$MSG_TEXT"'
