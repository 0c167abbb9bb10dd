"""Lie checker: what liars said is theirs in every journal, and nothing of theirs is taken for another node's."""

from collections.abc import Iterator, Mapping

from tests.sim.truth import Journal, Row

LIE = "lie:"  # begins every text of a liar


def check_lies(journals: Mapping[str, Journal], liars: Mapping[str, str], labels: frozenset[str]) -> Iterator[str]:
    """Everything that is wrong; `liars` are node ids by name, `labels` the rooms of the machines."""
    for journal in journals.values():
        others = {one.node_id for one in journals.values() if one is not journal}
        by_position = {row.position: row for row in journal.rows}
        for row in journal.rows:
            for problem in _row(row, by_position, liars, labels, others):
                yield f"{journal.name}: {row.position} {problem}"


def _row(
    row: Row, by_position: Mapping[str, Row], liars: Mapping[str, str], labels: frozenset[str], others: set[str]
) -> Iterator[str]:
    if row.type == "message":
        yield from _message(row, liars, labels)
        yield from _reference(row, row.body.get("re"), by_position)
    elif row.type == "receipt":
        yield from _reference(row, row.body.get("id"), by_position)
    elif row.type == "room.refused" and not row.body["global_id"].startswith(_node(row)):
        yield f"refuses {row.body['global_id']} to {_node(row)}"
    elif row.type == "peer.down" and _node(row) in others and row.body["reason"] == "protocol":
        yield "says that an honest machine broke the protocol"
    elif row.type == "peer.cloned" and _node(row) in others:
        yield "says that an honest machine runs twice"


def _node(row: Row) -> str:
    return str((row.body.get("peer") or {}).get("node"))


def _message(row: Row, liars: Mapping[str, str], labels: frozenset[str]) -> Iterator[str]:
    """A liar's text is a liar's, and a liar says nothing else."""
    text, node = str(row.body["text"]), _node(row)
    lied = text.startswith(LIE)
    if not lied:
        if node in liars.values() and row.direction == "in":
            yield f"is {text!r} of a liar, which has not said that"
        return
    liar = text.split(":")[1]
    of_host = row.body.get("room") in labels and row.body["nick"] == liar  # as an honest host passed it on
    if row.direction != "in" or (node != liars[liar] and not of_host):
        yield f"is {text!r}, as said by {node}"
    elif node == liars[liar] and not str(row.body["global_id"]).startswith(f"{node}/"):
        yield f"is {text!r} of {node} with the global id {row.body['global_id']}"


def _reference(row: Row, position: str | None, by_position: Mapping[str, Row]) -> Iterator[str]:
    """A message of ours that an answer or a receipt names was sent to that very peer, and said in that very room."""
    if position is None:
        return
    meant = by_position.get(position)
    if meant is None:
        return  # a journal that was restored in between has lost it
    if meant.type != "message" or meant.direction != "out" or _node(meant) != _node(row):
        yield f"is a {row.type} of {_node(row)} about {position}, which did not go there"
    elif row.type == "receipt" and _room(row) not in ("", _room(meant)):
        yield f"is a receipt in {_room(row)} about {position}, which was said in {_room(meant)}"


def _room(row: Row) -> str:
    """The bare name: a liar may have called itself otherwise in between."""
    return str(row.body.get("room") or "").partition("@")[0]
