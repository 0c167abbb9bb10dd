"""`status`, `whoami`, `myip`, `myport`, `health`, `shutdown`."""

import errno
import os

import msgspec
import pytest

from chatd import acceptor
from chatd.api import results
from chatd.control.methods import health
from chatd.journal.store import DiskFull
from tests.harness.control_node import NODE_ID, Client, Refused, Stand


async def test_status_says_all_about_the_node(stand: Stand, client: Client) -> None:
    await stand.say("one")
    status = msgspec.convert(await client.ask("status"), results.Status)
    assert (status.node, status.name, status.epoch) == (NODE_ID, "alice", stand.journal.epoch)
    assert (status.pid, status.sessions, status.listen) == (os.getpid(), 1, ["127.0.0.1:7420"])
    assert (status.socket, status.state) == (stand.config.socket, stand.config.state)
    assert status.peers == results.PeerCounts(up=1, dialing=0, down=0, pending=0)
    assert status.security == "open: whoever reaches the port may talk; plain text from this machine"
    assert status.uptime_s >= 0
    journal = status.journal
    assert journal.position == stand.journal.position(stand.journal.committed)
    assert (journal.synchronous, journal.full) == ("full", False)
    assert journal.bytes >= os.stat(journal.path).st_size > 0


async def test_whoami_myport_and_myip(stand: Stand, client: Client) -> None:
    assert await client.ask("whoami") == {"name": "alice", "node": NODE_ID}
    assert await client.ask("myport") == {"port": 7420}
    found = await client.ask("myip")
    assert found["ip"] == found["all"][0]


async def test_a_node_that_can_work_is_healthy(stand: Stand, client: Client) -> None:
    assert await client.ask("health") == {"healthy": True, "problems": [], "warnings": []}


async def test_a_full_disk_is_a_problem(stand: Stand, client: Client) -> None:
    with stand.holding_commits() as disk:
        disk.failure = DiskFull("full")
        await client.post("send", peer=0, text="x")
        disk.release()
        await client.line()
    answer = await client.ask("health")
    assert answer == {"healthy": False, "problems": ["the journal's disk is full"], "warnings": []}


async def test_a_journal_that_does_not_answer_is_a_problem(
    stand: Stand, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "ANSWER_WITHIN_S", 0.05)
    with stand.holding_commits():
        await client.post("send", peer=0, text="x")
        id_ = await client.post("health")
        answer = await client.answer(id_)
    assert answer["result"]["healthy"] is False
    assert "has not answered" in answer["result"]["problems"][0]


async def test_a_closed_port_is_a_problem(stand: Stand, client: Client) -> None:
    stand.node.listener.addresses.clear()
    assert (await client.ask("health"))["problems"] == ["the peer port is not open"]


async def test_being_out_of_descriptors_is_a_problem_while_it_lasts_and_a_few_seconds_more(
    stand: Stand, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.runtime.descriptors.record_failure(OSError(errno.EMFILE, "Too many open files"))
    found = await client.ask("health")
    assert found["healthy"] is False
    assert "out of file descriptors" in found["problems"][0]
    assert "ulimit -n" in found["problems"][0]
    monkeypatch.setattr(acceptor, "RECENT_S", 0.0)
    assert (await client.ask("health"))["healthy"] is True
    monkeypatch.setattr(acceptor, "_open_spare", lambda: None)
    assert (await client.ask("health"))["healthy"] is False


async def test_links_at_their_bound_are_a_warning(stand: Stand, client: Client) -> None:
    stand.node.listener.is_full = True  # type: ignore[misc]
    found = await client.ask("health")
    assert (found["healthy"], found["problems"]) == (True, [])
    assert found["warnings"] == ["max_links is reached: 1024 links were accepted, the next peer is refused"]


@pytest.mark.parametrize("stand", [{"sessions": 1}], indirect=True)
async def test_sessions_at_their_bound_are_a_warning(stand: Stand, client: Client) -> None:
    found = await client.ask("health")
    assert (found["healthy"], found["problems"]) == (True, [])
    assert found["warnings"] == ["sessions is reached: 1 clients are connected, the next one may be refused"]


async def test_a_port_that_is_closed_has_no_number(stand: Stand, client: Client) -> None:
    stand.node.listener.addresses.clear()
    with pytest.raises(Refused) as caught:
        await client.ask("myport")
    assert caught.value.kind == "shutting_down"


async def test_shutdown_is_answered_and_asked_of_the_node(stand: Stand, client: Client) -> None:
    assert await client.ask("shutdown") == {}
    assert stand.stops == ["shutdown"]
