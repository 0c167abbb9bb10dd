"""What honest nodes show after a lie, in the verbs that users use. Every test of a lie ends with `unharmed`."""

from typing import Any

from tests.harness.network import LiveNode

QUIET = frozenset(
    {"shutdown", "peer stopped", "closed by peer", "reset"}
)  # why a link between honest nodes may end where one of them restarts


async def epoch_of(node: LiveNode) -> str:
    """That of its present run, which a Hello tells every node."""
    return str((await node.ask("status"))["epoch"])


def newest(node: LiveNode) -> int:
    """The seq that its journal has given last: what comes next can be guessed."""
    return node.node.journal.appended


async def messages(node: LiveNode, **filter_: object) -> list[dict[str, Any]]:
    """Those of its journal that match."""
    events = await node.history(types=["message"], **filter_)
    return [event for event in events if event["type"] == "message"]  # a gap is always shown


async def of_node(node: LiveNode, id_: str, direction: str = "in") -> list[dict[str, Any]]:
    """The messages outside of rooms from (or to) the node with that id."""
    found = await messages(node, direction=direction)
    return [message for message in found if message["peer"]["node"] == id_ and message["room"] is None]


async def record(node: LiveNode, id_: str) -> dict[str, Any]:
    """What `list` shows of the node with that id: one line."""
    (found,) = [peer for peer in await node.peers() if peer["node"] == id_]
    return found


async def unharmed(a: LiveNode, b: LiveNode, *, restarted: bool = False) -> None:
    """Both talk on, and everything that they ever said to each other is shown as it was, once and in order."""
    for one, other in ((a, b), (b, a)):
        await one.up(other)
        for number in range(3):
            await one.send(other.id, f"{one.name} after all {number}")
        await one.drained(other.id)
    for one, other in ((a, b), (b, a)):
        await _same(one, other)
        await _answered(one, other)
        assert (await record(one, other.id))["state"] == "up"
        ends = [event["reason"] for event in await one.history(types=["peer.down"], peer=other.id)]
        assert set(ends) <= QUIET if restarted else not ends, f"links between {one.name} and {other.name}: {ends}"


async def _same(sender: LiveNode, receiver: LiveNode) -> None:
    """History, states, traces and the count of what the one has sent to the other."""
    out = await of_node(sender, receiver.id, "out")
    got = await of_node(receiver, sender.id)
    expected = [(message["text"], f"{sender.id}/{message['id']}") for message in out]
    assert [(message["text"], message["global_id"]) for message in got] == expected
    assert all(message["id"] == message["position"] for message in (*out, *got))
    assert set(await sender.states(*(message["id"] for message in out))) == {"delivered"}
    for message in got:
        for name in (message["id"], message["global_id"]):
            shown = (await receiver.ask("msg", id=name))["message"]
            assert (shown["text"], shown["peer"]["node"]) == (message["text"], sender.id)
    counted = await sender.ask("tally", peer=receiver.id, first=out[0]["id"], last=out[-1]["id"])
    assert (counted["messages"], counted["distinct"]) == (len(out), len(out))
    for traced in (
        await sender.ask("trace", id=out[-1]["id"], timeout=10),
        await receiver.ask("trace", id=got[-1]["global_id"], timeout=10),
    ):
        assert (traced["global_id"], traced["silent"]) == (got[-1]["global_id"], None)
        nodes = {step["node"] for step in traced["steps"]}
        assert nodes == {sender.name, receiver.name}


async def _answered(sender: LiveNode, receiver: LiveNode) -> None:
    """A reply to the newest message goes to whoever sent it, as the answer to that message."""
    asked = (await of_node(receiver, sender.id))[-1]
    sent = await receiver.ask("reply", id=asked["id"], text=f"answer to {asked['text']}")
    assert sent["peer"]["node"] == sender.id
    await receiver.drained(sender.id)
    answer = (await of_node(sender, receiver.id))[-1]
    assert answer["text"] == f"answer to {asked['text']}"
    assert f"{sender.id}/{answer['re']}" == asked["global_id"] == answer["re_global_id"]


async def users(node: LiveNode, room: str) -> list[str]:
    """`room users`: the nicks."""
    return [user["nick"] for user in (await node.ask("room.users", room=room))["users"]]


async def heard(node: LiveNode, room: str) -> list[tuple[str, str]]:
    """Who said what in a room, in its order, as `history` shows it."""
    return [(one["nick"], one["text"]) for one in await messages(node, room=room) if one.get("room_position")]


async def until_heard(node: LiveNode, text: str, room: str) -> None:
    """Wait until that is in its place."""

    async def is_heard() -> bool:
        return text in [said for _, said in await heard(node, room)]

    await node.committed_until(is_heard)
