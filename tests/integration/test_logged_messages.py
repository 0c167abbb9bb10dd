"""`--log-messages` between whole nodes: each message is one line at either end, if the node was started with it."""

import logging

import pytest

from tests.harness.network import TwoNodes


def texts(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "chatd.messages"]


async def test_direct_messages_and_those_in_rooms_are_logged_by_both_ends(
    two_nodes: TwoNodes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="chatd")
    a, b = await two_nodes(log_messages=True)
    inbox = await b.feed(types=["message"])
    await a.send(b, "hi")
    assert await inbox.texts(1) == ["hi"]
    await b.ask("room.host", room="lobby")
    await a.ask("room.join", room="lobby@bob", nick="al")
    await a.ask("room.say", room="lobby@bob", text="hello all")
    assert await inbox.texts(1) == ["hello all"]
    assert texts(caplog) == [
        "message to bob: hi",
        "message from alice: hi",
        "message in lobby@bob from al: hello all",
        "message in lobby@bob from al: hello all",
    ]


async def test_by_default_no_message_is_logged(two_nodes: TwoNodes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="chatd")
    a, b = await two_nodes()
    inbox = await b.feed(types=["message"])
    await a.send(b, "unheard")
    assert await inbox.texts(1) == ["unheard"]
    assert texts(caplog) == []
    assert "unheard" not in caplog.text
