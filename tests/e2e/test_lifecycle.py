"""How a daemon starts, refuses to start, stops and survives being killed, with real processes."""

import re
import shutil
import signal
import socket
import subprocess
import sys

from tests.e2e.conftest import MakeNode, TwoNodes
from tests.harness.children import ROOT
from tests.harness.client import Refused
from tests.harness.processes import Node, environment
from tests.harness.until import PATIENCE_S

QUICK = ("--redial-min", "20ms", "--redial-max", "200ms")


def only_line(lines: list[str]) -> str:
    """The one line that says why a daemon cannot start; beside it there is nothing but what was logged before."""
    said = [line for line in lines if not line.startswith('{"ts":') or '"level":"info"' not in line]
    assert len(said) == 1, lines
    assert said[0].startswith("chatd: ")
    return said[0]


def test_sigterm_stops_a_node_with_exit_0_whatever_its_peers_do(two_nodes: TwoNodes) -> None:
    alice, _ = two_nodes()
    others = [socket.create_connection(("127.0.0.1", alice.port)) for _ in range(3)]
    others[0].sendall(b"the others say nothing\n")
    with alice.client("tail") as tail:
        alice.ask("wait", for_="peers", count=2, timeout=PATIENCE_S)
        alice.stop()
        tail.terminate()
    for each in others:
        each.close()


def test_a_second_signal_stops_a_node_that_is_still_saying_goodbye(node: MakeNode) -> None:
    alone = node("alone").start()
    alone.signal(signal.SIGTERM)
    alone.signal(signal.SIGTERM)
    alone.ends()
    alone.start()


def test_an_unknown_flag_is_exit_2_and_names_the_nearest(node: MakeNode) -> None:
    status, lines = node("alone").run("--lissen", "127.0.0.1:1")
    assert status == 2
    assert "--listen" in only_line(lines)


def test_a_wrong_value_in_the_file_is_exit_2_and_names_the_file(node: MakeNode) -> None:
    alone = node("alone")
    file = alone.folder / "wrong.toml"
    file.write_text("trust = 'nobody'\n", encoding="utf-8")
    status, lines = alone.run("--config", str(file))
    assert status == 2
    assert str(file) in only_line(lines)


def test_a_second_daemon_of_one_state_directory_is_exit_3(node: MakeNode) -> None:
    first = node("alone", hasty=True).start()
    port, first.port = first.port, 0
    status, lines = first.run()
    first.port = port
    assert status == 3
    only_line(lines)
    first.ask("health")


def test_a_second_daemon_makes_nothing_where_the_state_directory_of_the_first_was(node: MakeNode) -> None:
    first = node("alone", hasty=True).start()
    away = first.state.rename(first.folder / "away")
    status, lines = first.run()
    assert status == 3
    assert f"another program answers on {first.socket}" in only_line(lines)
    assert not first.state.exists()
    away.rename(first.state)
    first.ask("health")


def test_a_state_directory_that_cannot_be_is_exit_4(node: MakeNode) -> None:
    alone = node("alone")
    (alone.folder / "file").touch()
    alone.state = alone.folder / "file" / "state"
    status, lines = alone.run()
    assert status == 4
    assert str(alone.state) in only_line(lines)


def test_a_damaged_journal_is_exit_4_and_is_left_as_it_is(node: MakeNode) -> None:
    alone = node("alone").start()
    alone.stop()
    alone.journal.write_bytes(b"not a database " * 1000)
    status, lines = alone.run()
    assert status == 4
    assert str(alone.journal) in only_line(lines)
    assert alone.journal.read_bytes() == b"not a database " * 1000
    alone.journal.unlink()


def test_a_state_directory_that_is_removed_while_the_node_runs_ends_it_with_exit_4(two_nodes: TwoNodes) -> None:
    alice, bob = two_nodes(*QUICK, hasty=True)
    bob.kill()
    shutil.rmtree(alice.state)
    accepted, refused = until_refused(alice)
    assert refused.kind == "storage_lost"
    assert not alice.ask("health")["healthy"]
    assert alice.texts() == accepted
    bob.start()
    alice.ends(4)
    assert bob.texts() == accepted
    assert "was removed or replaced while the node ran" in alice.log.splitlines()[-1]


def until_refused(node: Node) -> tuple[list[str], Refused]:
    """Send to bob until that is refused: what was accepted, and how it was refused."""
    for number in range(1000):
        try:
            node.send("bob", str(number))
        except Refused as refused:
            return [str(one) for one in range(number)], refused
    raise AssertionError("nothing was refused")


def test_sigterm_ends_a_node_without_its_state_directory_with_exit_4(two_nodes: TwoNodes) -> None:
    alice, bob = two_nodes(*QUICK, hasty=True)
    bob.kill()
    aside = alice.folder / "aside"
    alice.state.rename(aside)
    assert until_refused(alice)[1].kind == "storage_lost"
    alice.signal(signal.SIGTERM)
    alice.ends(4)
    aside.rename(alice.state)
    alice.start()


def test_an_address_that_is_taken_is_exit_5(node: MakeNode) -> None:
    alone = node("alone")
    with socket.create_server(("127.0.0.1", alone.port)):
        status, lines = alone.run()
    assert status == 5
    assert str(alone.port) in only_line(lines)


def test_after_kill_9_history_name_and_slot_are_still_there(two_nodes: TwoNodes) -> None:
    alice, bob = two_nodes(*QUICK)
    sent = [alice.send(bob, f"message {number}") for number in range(5)]
    before = bob.inbox(5)
    bob.kill()
    bob.start()
    assert bob.history() == before
    assert [event["global_id"].partition("/")[2] for event in before] == sent
    bob.up(alice)
    (peer,) = bob.peers()
    assert (peer["slot"], peer["name"]) == (before[0]["peer"]["slot"], "alice")
    alice.up(bob)
    alice.send(0, "after")
    assert bob.inbox(6)[-1]["text"] == "after"


def test_nothing_that_send_answered_is_missing_after_kill_9(two_nodes: TwoNodes) -> None:
    alice, _ = two_nodes()
    with alice.client("send", "bob", "-") as sender:
        assert sender.stdin is not None
        assert sender.stdout is not None
        sender.stdin.write("".join(f"{number}\n" for number in range(3000)))
        sender.stdin.flush()
        answered = [sender.stdout.readline().strip()]
        alice.kill()
        sender.stdin.close()
        answered += sender.stdout.read().split()
    alice.start()
    kept = [event["id"] for event in alice.history()]
    assert answered[0]
    assert set(answered) <= set(kept)
    assert len(set(kept)) == len(kept)


def run_chatd(node: Node, *flags: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A chatd that only says something."""
    return subprocess.run(
        [sys.executable, "-m", "chatd", *flags],
        cwd=ROOT,
        env=environment(node.folder, **variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_help_shows_every_setting_and_version_is_the_same_for_both_commands(node: MakeNode) -> None:
    alone = node("alone")
    shown = run_chatd(alone, "--help")
    assert shown.returncode == 0
    for flag in ("--listen", "--peers", "--trust", "--plain", "--log-level", "--max-text", "--check-config"):
        assert flag in shown.stdout
    version = re.search(r"\d+\.\d+\.\d+", run_chatd(alone, "--version").stdout)
    assert version is not None
    assert version.group() in alone.output("--version")


def test_check_config_prints_each_value_and_where_it_came_from(node: MakeNode) -> None:
    alone = node("alone")
    (alone.folder / "my.toml").write_text("redial_max = '7s'\n", encoding="utf-8")
    shown = run_chatd(
        alone, "--check-config", "--config", str(alone.folder / "my.toml"), "--name", "zoe", CHATD_TRUST="known"
    )
    assert shown.returncode == 0
    lines = {line.split()[0]: line for line in shown.stdout.splitlines() if line.strip()}
    assert "zoe" in lines["name"]
    assert "CHATD_TRUST" in lines["trust"]
    assert "my.toml" in lines["redial_max"]
    assert "default" in lines["plain"]


def test_an_unknown_variable_is_exit_2_and_names_the_nearest(node: MakeNode) -> None:
    refused = run_chatd(node("alone"), "--check-config", CHATD_LISTN="127.0.0.1:1")
    assert refused.returncode == 2
    assert "CHATD_LISTEN" in only_line(refused.stderr.splitlines())
