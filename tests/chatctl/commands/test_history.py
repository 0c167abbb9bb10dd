"""`chatctl history`: the last N, or the first N after a start position, page by page."""

from tests.chatctl.conftest import Chatctl
from tests.harness.fake_daemon import FakeDaemon, in_turn, message


def test_it_asks_for_the_last_hundred_messages(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["history"] = {"events": [message(1, "old"), message(2, "new")], "next": None}
    lines = chatctl("history").out.splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["old", "new"]
    assert daemon.params("history") == [{"filter": {"types": ["message"]}, "n": 100}]


def test_what_has_not_arrived_is_marked(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    plain = {"slot": 1, "name": "10.0.0.9:5000", "kind": "plain", "node": None}
    daemon.on["history"] = {
        "events": [
            message(1, "in"),
            message(2, "there", "out", state="delivered"),
            message(3, "under way", "out", state="sent"),
            message(4, "waits", "out", state="queued"),
            message(5, "plain", "out", state="sent", peer=plain),
            message(6, "late", "out", state="expired\x1b"),
        ],
        "next": None,
    }
    assert [line.split(" ", 2)[2] for line in chatctl("history").out.splitlines()] == [
        "bob: in",
        "-> bob: there",
        "-> bob: under way  [sent]",
        "-> bob: waits  [queued]",
        "-> 10.0.0.9:5000: plain",
        "-> bob: late  [expired\\x1b]",
    ]


def test_it_follows_the_pages_until_it_has_n(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["history"] = in_turn(
        {"events": [message(1), message(2)], "next": "aaaaaaaa:2"},
        {"events": [], "next": "aaaaaaaa:5"},
        {"events": [message(6), message(7)], "next": "aaaaaaaa:7"},
    )
    ran = chatctl("--json", "history", "-n", "3", "--events")
    assert ran.records == [message(1), message(2), message(6)]
    assert daemon.params("history") == [
        {"n": 3},
        {"n": 1, "from": {"position": "aaaaaaaa:2"}},
        {"n": 1, "from": {"position": "aaaaaaaa:5"}},
    ]


def test_a_daemon_that_never_gets_on_does_not_hang_it(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["history"] = {"events": [], "next": "aaaaaaaa:2"}
    assert chatctl("history") == (0, "", "")


def test_its_bounds_and_peer_are_handed_on(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["history"] = {"events": [], "next": None}
    chatctl("history", "bob", "--from", "aaaaaaaa:1", "--until", "2026-11-21T03:00:00Z")
    assert daemon.params("history") == [
        {
            "filter": {"types": ["message"], "peer": "bob"},
            "until": "2026-11-21T03:00:00.000Z",
            "n": 100,
            "from": {"position": "aaaaaaaa:1"},
        }
    ]


def test_two_beginnings_are_a_usage_error(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    assert chatctl("history", "--from", "aaaaaaaa:1", "--since", "1h").status == 2
