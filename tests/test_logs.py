import json
import logging
import os
import re
import unicodedata
from collections.abc import Iterator

import pytest

from chatd import logs
from tests.harness.characters import characters

log = logging.getLogger("chatd.peers")
LOST = "log lines lost because standard error was not writable: "


class Pipe:
    """A standard error that a test reads."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.open = [self.reader, self.writer]
        os.set_blocking(self.reader, False)

    def close(self, descriptor: int) -> None:
        """Close one end, once: the number may be somebody else's by now."""
        if descriptor in self.open:
            self.open.remove(descriptor)
            os.close(descriptor)

    def read(self) -> str:
        """What was written since the last time."""
        data = b""
        try:
            while piece := os.read(self.reader, 1 << 16):
                data += piece
        except BlockingIOError:
            pass
        return data.decode()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    root, ours = logging.getLogger(), logging.getLogger("chatd")
    handlers, levels, raises = root.handlers[:], (root.level, ours.level), logging.raiseExceptions
    root.handlers[:] = []  # setup closes those that it finds
    pipe = Pipe()
    yield pipe
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    logging.raiseExceptions = raises
    pipe.close(pipe.reader)
    pipe.close(pipe.writer)


def failure() -> None:
    try:
        raise ValueError("bad\nthing\x1b[2J")
    except ValueError:
        log.exception("it failed")


def test_what_is_no_terminal_gets_one_json_object_per_line(pipe: Pipe) -> None:
    logs.setup("info", "auto", pipe.writer)
    log.info("peer %(peer)s is up", {"peer": "bob\n\x1b[2J\u202e\ud800é", "slot": 3, "why": {1}})
    line = pipe.read()
    assert line.endswith("}\n")
    assert line.isascii()
    assert line[:-1].isprintable()
    record = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("ts"))
    assert record == {
        "level": "info",
        "logger": "chatd.peers",
        "msg": "peer bob\n\x1b[2J\u202e\ud800é is up",
        "peer": "bob\n\x1b[2J\u202e\ud800é",
        "slot": 3,
        "why": "{1}",
    }
    assert list(json.loads(line))[:4] == ["ts", "level", "logger", "msg"]


def test_a_further_field_cannot_pose_as_a_standard_one(pipe: Pipe) -> None:
    logs.setup("info", "json", pipe.writer)
    log.info("x", {"ts": "never", "logger": "other"})
    record = json.loads(pipe.read())
    assert record["ts"] != "never"
    assert record["logger"] == "chatd.peers"


@pytest.mark.parametrize("format_", ["text", "json"])
def test_a_native_peer_is_shown_with_its_short_node_id(pipe: Pipe, format_: str) -> None:
    node = "k3v9abcd" + "x" * 44
    logs.setup("info", format_, pipe.writer)
    log.info("peer %(peer)s connected (%(address)s)", {"peer": "bob", "node": node, "address": "10.0.0.2:7420"})
    log.info("node %(name)s (%(node).8s) ready", {"name": "bob", "node": node})
    log.info("peer %(peer)s connected", {"peer": "10.0.0.3:5000"})
    first, second, third = pipe.read().splitlines()
    assert "peer bob (k3v9abcd) connected (10.0.0.2:7420)" in first
    assert "node bob (k3v9abcd) ready" in second
    assert "peer 10.0.0.3:5000 connected" in third
    if format_ == "json":
        record = json.loads(first)
        assert (record["peer"], record["node"], record["address"]) == ("bob", node, "10.0.0.2:7420")


def test_a_terminal_gets_text(pipe: Pipe) -> None:
    ours, terminal = os.openpty()
    logs.setup("info", "auto", terminal)
    log.info("hello")
    assert os.read(ours, 100).endswith(b" info    peers     hello\r\n")
    os.close(ours)
    os.close(terminal)


def test_text_is_one_aligned_line_that_no_terminal_obeys(pipe: Pipe) -> None:
    logs.setup("info", "text", pipe.writer)
    log.warning("hello from %s", "bob\r\n12:00:00 error\x1b[2J\x9b\u202e\u2028\ud800é 👋")
    line = pipe.read()
    clock, rest = line.split(" ", 1)
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", clock)
    assert rest == ("warning peers     hello from bob\\r\\n12:00:00 error\\x1b[2J\\x9b\\u202e\\u2028\\ud800é 👋\n")


def test_a_traceback_in_text_is_marked_and_harmless(pipe: Pipe) -> None:
    logs.setup("info", "text", pipe.writer)
    failure()
    first, *others = pipe.read().splitlines()
    assert first.endswith("error   peers     it failed")
    assert others[0] == "  | Traceback (most recent call last):"
    assert all(line.startswith("  | ") for line in others)
    assert others[-2:] == ["  | ValueError: bad", "  | thing\\x1b[2J"]


def test_a_traceback_in_json_is_a_field(pipe: Pipe) -> None:
    logs.setup("info", "json", pipe.writer)
    failure()
    (line,) = pipe.read().splitlines()
    assert json.loads(line)["exc"].endswith("ValueError: bad\nthing\x1b[2J\n")


def test_the_level_is_for_chatd_and_others_are_heard_from_warning_on(pipe: Pipe) -> None:
    logs.setup("debug", "json", pipe.writer)
    log.debug("a")
    logging.getLogger("trio").info("b")
    logging.getLogger("trio").warning("c")
    logs.setup("error", "json", pipe.writer)
    log.warning("d")
    log.error("e")
    assert [json.loads(line)["msg"] for line in pipe.read().splitlines()] == ["a", "c", "e"]


def test_a_reader_that_is_gone_is_not_noticed_by_who_logs(pipe: Pipe) -> None:
    logs.setup("info", "json", pipe.writer)
    pipe.close(pipe.reader)
    for _ in range(3):
        log.info("x")


def test_a_descriptor_that_was_closed_is_not_noticed_by_who_logs(pipe: Pipe) -> None:
    logs.setup("info", "json", pipe.writer)
    pipe.close(pipe.writer)
    log.info("x")


def test_a_bad_log_call_is_not_noticed_but_counted(pipe: Pipe) -> None:
    logs.setup("info", "json", pipe.writer)
    log.info("%d", "no number")
    log.info("x")
    assert [json.loads(line)["msg"] for line in pipe.read().splitlines()] == [LOST + "1", "x"]


def test_nobody_waits_for_a_reader_that_does_not_read_and_what_was_lost_is_counted(pipe: Pipe) -> None:
    logs.setup("info", "json", pipe.writer)
    for number in range(40):
        log.info("%(text)s", {"text": "x" * 9000, "number": number})
    lines = pipe.read().splitlines()
    whole = [json.loads(line)["number"] for line in lines[:-1]]
    assert 0 < len(whole) < 40
    assert whole == list(range(len(whole)))
    log.info("again")
    later = pipe.read().splitlines()
    if later[0] == "":
        later.pop(0)  # the end of the line that was cut
    assert [json.loads(line)["msg"] for line in later] == [f"{LOST}{40 - len(whole)}", "again"]


def test_the_line_after_one_that_was_cut_is_a_line_of_its_own(pipe: Pipe) -> None:
    logs.setup("info", "json", pipe.writer)
    log.info("x" * (1 << 20))  # more than any pipe holds
    assert not pipe.read().endswith("\n")
    log.info("again")
    end_of_cut, *whole = pipe.read().splitlines()
    assert end_of_cut == ""
    assert [json.loads(line)["msg"] for line in whole] == [LOST + "1", "again"]


def test_warnings_of_libraries_are_log_lines_too(pipe: Pipe) -> None:
    logs.setup("info", "json", pipe.writer)
    logging.getLogger("py.warnings").warning("old")
    assert json.loads(pipe.read())["logger"] == "py.warnings"


def test_no_character_of_a_log_line_does_harm() -> None:
    """Whatever is not printable is shown by its number, but for blanks of other widths."""
    passed = {each for each in logs.harmless(characters()) if not each.isprintable()}
    assert {unicodedata.category(each) for each in passed} == {"Zs"}
