"""`chatctl link`: its requests, its table of requested and measured faults; and faults in `list` and `status`."""

from typing import Any

import pytest

from chatctl.text import link_faults
from tests.chatctl.conftest import Chatctl
from tests.harness.fake_daemon import BOB, BOB_RECORD, FakeDaemon, refusing

UNTIL = "2026-11-21T03:00:30.000Z"
NOTHING: dict[str, Any] = {"out": {}, "in": {}, "until": None}
MEASURED = {"bytes": 1_448_000, "segments": 1000, "resent": 49, "delay_s": 0.20312345, "rate": 63_812.3}
NOT_MEASURED = {"bytes": 0, "segments": 0, "resent": 0, "delay_s": None, "rate": None}


def both(**impairment: Any) -> dict[str, Any]:
    return {"out": impairment, "in": impairment, "until": None}


def record(found: dict[str, Any] | None = None, name: str = "bob", state: str = "up", **way: Any) -> dict[str, Any]:
    measured = {"out": way.get("out"), "in": way.get("in_")}
    return {"peer": {**BOB, "name": name}, "state": state, "faults": found, **measured}


def links(*records: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"allowed": True, "default": None, "links": list(records), **fields}


@pytest.mark.parametrize(
    ("argv", "params"),
    [
        ("", {}),
        ("bob", {"peer": "bob"}),
        ("bob --delay 200ms --jitter 50ms", {"peer": "bob", "delay": 0.2, "jitter": 0.05}),
        ("--loss 5% bob --rate 64k", {"peer": "bob", "loss": 0.05, "rate": 64_000}),
        ("bob --loss 0.05 --rate 512kbit --out", {"peer": "bob", "loss": 0.05, "rate": 64_000, "direction": "out"}),
        ("bob --cut --in --for 30s", {"peer": "bob", "cut": True, "direction": "in", "for": 30}),
        ("bob --delay 0 --rate 0 --flap 0 --out --in", {"peer": "bob", "delay": 0, "rate": 0, "flap": 0}),
        ("--all --flap 10s --reset", {"all": True, "flap": 10, "reset": True}),
        ("bob --heal", {"peer": "bob", "heal": True}),
    ],
)
def test_units_become_seconds_bytes_and_shares_and_what_is_not_named_is_left_out(
    daemon: FakeDaemon, chatctl: Chatctl, argv: str, params: dict[str, Any]
) -> None:
    daemon.on["link"] = links(record(both(delay=0.2)))
    assert chatctl("link", *argv.split()).status == 0
    assert daemon.requests == [("link", params)]
    assert chatctl("--json", "link", *argv.split()).records == [daemon.on["link"]]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["bob", "--loss", "100%"], "'100%' is not less than 100%"),
        (["bob", "--loss", "much"], "'much' is no share: write 5% or 0.05"),
        (["bob", "--loss", "-5%"], "'-5%' is no share"),
        (["bob", "--rate", "64 k"], "'64 k' is no rate: write bytes a second (64k, 64KiB, 1M) or bits (512kbit)"),
        (["bob", "--rate", "1m"], "'1m' is no rate"),
        (["bob", "--rate", "." + "9" * 3 + "."], "is no rate"),
        (["bob", "--rate", "9" * 400], "is too much"),
        (["bob", "--delay", "soon"], "'soon' is no duration"),
        (["bob", "--dealy", "1s"], "no such option"),
    ],
)
def test_what_cannot_be_read_is_2_with_what_to_write(
    daemon: FakeDaemon, chatctl: Chatctl, argv: list[str], says: str
) -> None:
    ran = chatctl("link", *argv)
    assert ran.status == 2
    assert says in ran.err
    assert daemon.requests == []


@pytest.mark.parametrize(
    ("argv", "found", "shown"),
    [
        ("bob --delay 200ms --for 30s", both(delay=0.2) | {"until": UNTIL}, "bob: delay 200ms both ways, for 30s"),
        ("bob --cut --out", {**NOTHING, "out": {"cut": True}}, "bob: out: cut"),
        (
            "bob --loss 5% --in",
            {**NOTHING, "out": {"delay": 1.5, "rate": 64_000}, "in": {"loss": 0.05, "jitter": 0.05, "flap": 120}},
            "bob: out: delay 1.5s, rate 64k; in: jitter 50ms, loss 5%, flap 2m",
        ),
        ("bob --heal", None, "bob: healed"),
        ("bob --heal --for 1m", {**NOTHING, "until": UNTIL}, "bob: healed, for 1m"),
        ("bob --heal --out", {**NOTHING, "in": {"cut": True}}, "bob: in: cut"),
        ("bob --delay 0", None, "bob: no faults"),
        ("bob --reset", None, "bob: reset"),
        ("bob --reset --cut", both(cut=True), "bob: reset; cut both ways"),
    ],
)
def test_after_a_change_one_line_says_what_the_link_has_now(
    daemon: FakeDaemon, chatctl: Chatctl, argv: str, found: dict[str, Any] | None, shown: str
) -> None:
    daemon.on["link"] = links(record(found))
    assert chatctl("link", *argv.split()) == (0, shown + "\n", "")


def test_a_peer_that_is_not_up_is_said_to_be_so_and_its_name_is_harmless(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["link"] = links(record(both(cut=True), "b\x1bob", state="dialing"))
    assert chatctl("link", "0", "--cut").out == "b\\x1bob: cut both ways (dialing)\n"


def test_of_all_only_those_are_named_that_have_something_else(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    usual, more = both(delay=0.2), both(delay=0.2, cut=True)
    daemon.on["link"] = links(record(usual), record(more, "carol"), default=usual)
    assert chatctl("link", "--all", "--delay", "200ms").out == (
        "everybody: delay 200ms both ways\ncarol: delay 200ms, cut both ways\n"
    )
    daemon.on["link"] = links(record(), record({**NOTHING, "until": None}, "carol"), default=NOTHING)
    assert chatctl("link", "--all", "--heal").out == "everybody: healed\n"
    assert chatctl("link", "--all", "--reset").out == "everybody: reset\n"


def test_the_table_has_asked_beside_measured_for_each_direction(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    asked = {"out": {"delay": 0.2, "loss": 0.05, "rate": 64_000}, "in": {"cut": True}, "until": UNTIL}
    daemon.on["link"] = links(
        record(asked, out=MEASURED, in_=NOT_MEASURED),
        record(None, "carol", in_={**MEASURED, "delay_s": 0.0000213, "resent": 0, "rate": None}),
        record(None, "dave", state="dialing"),
        default=both(delay=1),
    )
    status, out, err = chatctl("link")
    lines = [line.rstrip() for line in out.splitlines()]
    until = lines[3][-19:]
    assert (status, err) == (0, "")
    assert until.startswith("2026-11-2")
    measured = "delay 203.1ms, loss 4.9%, rate 63.81k, bytes 1.448M"
    assert [" ".join(line.split()) for line in lines] == [
        "PEER STATE WAY FAULTS MEASURED UNTIL",
        "* - out delay 1s - -",
        "* - in delay 1s - -",
        f"bob up out delay 200ms, loss 5%, rate 64k {measured} {until}",
        f"bob up in cut - {until}",
        "carol up in - delay 0.0213ms, loss 0%, bytes 1.448M -",
        "dave dialing - - - -",
    ]
    assert lines[0].index("MEASURED") == lines[3].index(measured)


def test_a_node_without_faults_says_how_to_allow_them(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    hint = "faults are not allowed here; chatd --allow-faults (or CHATD_ALLOW_FAULTS=1) allows them\n"
    daemon.on["link"] = links(allowed=False)
    assert chatctl("link") == (0, "", "nobody is connected\n" + hint)
    daemon.on["link"] = links(record(), allowed=False)
    assert chatctl("link", "bob").err == hint
    daemon.on["link"] = refusing("forbidden", 401, "faults are not allowed on this node", hint="chatd --allow-faults")
    ran = chatctl("link", "bob", "--cut")
    assert (ran.status, ran.out) == (5, "")
    assert "--allow-faults" in ran.err


def test_list_has_a_column_of_faults_only_where_somebody_has_some(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["list"] = {"peers": [{**BOB_RECORD, "faults": None}]}
    assert chatctl("list").out.splitlines()[0].split()[-1] == "WISH"
    suffering = [both(delay=0.2, loss=0.05), {**NOTHING, "out": {"cut": True}}]
    daemon.on["list"] = {"peers": [BOB_RECORD, *({**BOB_RECORD, "faults": found} for found in suffering)]}
    head, *lines = chatctl("list").out.splitlines()
    at = head.index("FAULTS")
    assert [line[at:] for line in lines] == ["-", "delay 200ms, loss 5%", "out: cut"]


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (None, ""),
        ({"allowed": False, "peers": 0}, ""),
        ({"allowed": True, "peers": 0}, "allowed, no peers"),
        ({"allowed": True, "peers": 1}, "allowed, 1 peer"),
        ({"allowed": True, "peers": 2}, "allowed, 2 peers"),
    ],
)
def test_status_tells_of_faults_where_there_may_be_some(
    daemon: FakeDaemon, chatctl: Chatctl, told: dict[str, Any] | None, shown: str
) -> None:
    daemon.on["status"] = {"name": "alice", "faults": told}
    lines = [line for line in chatctl("status").out.splitlines() if line.startswith("faults")]
    assert [line.removeprefix("faults").strip() for line in lines] == ([shown] if shown else [])


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.2, "200ms"), (0.00002, "0.02ms"), (1, "1s"), (1.5, "1.5s"), (90, "90s"), (120, "2m"), (3600, "1h"), (0, "0ms")],
)
def test_a_span_is_shown_as_it_is_written(seconds: float, shown: str) -> None:
    assert link_faults.duration_text(seconds) == shown


@pytest.mark.parametrize(("count", "shown"), [(0, "0"), (999, "999"), (64_000, "64k"), (65_536, "65.54k"), (2e9, "2G")])
def test_an_amount_is_shown_as_it_is_written(count: float, shown: str) -> None:
    assert link_faults.bytes_text(count) == shown
