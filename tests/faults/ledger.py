"""Ledger: what the journals of stopped nodes hold, counted against what their senders were told.

Journals are read as files, with nothing of chatd in between.
"""

import json
import shutil
import sqlite3
import tempfile
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tests.faults.load import Sender
from tests.harness.victims import Victim

Said = tuple[str, str]  # id, text


class Journal:
    """The messages of one database, by peer and in order; and its high-water marks."""

    def __init__(self, database: Path) -> None:
        self.sent: dict[str, list[Said]] = defaultdict(list)
        self.received: dict[str, list[Said]] = defaultdict(list)
        self.odd: list[str] = []  # events that say that something is missing
        self.watermarks: dict[tuple[str, str], int] = {}
        self.heads: dict[tuple[str, str], int] = {}  # what the marks have to be
        self.nodes: dict[str, str] = {}
        with closing(sqlite3.connect(database)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
            if "events" in tables:  # else it was killed before it had them
                for (body,) in db.execute("SELECT body FROM events ORDER BY seq"):
                    self._add(json.loads(body))
                self.watermarks = {
                    (node, epoch): seq for node, epoch, seq in db.execute("SELECT node, epoch, seq FROM marks")
                }

    def _add(self, event: dict[str, object]) -> None:
        if event["type"] in ("gap", "peer.diverged"):
            self.odd.append(str(event))
        if event["type"] != "message":
            return
        peer, said = event["peer"], (str(event["global_id"]).partition("/")[2], str(event["text"]))
        assert isinstance(peer, dict)
        (self.sent if event["direction"] == "out" else self.received)[peer["name"]].append(said)
        if event["direction"] == "in":
            epoch, _, seq = said[0].partition(":")
            self.heads[peer["node"], epoch] = int(seq)

    @classmethod
    def of_killed(cls, state: Path) -> "Journal":
        """Of a copy: the files of a killed node stay as they are."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "state"
            shutil.copytree(state, copy)
            return cls(copy / "journal.db")


class Count(NamedTuple):
    """What became of the messages of one node to another."""

    offered: int
    accepted: int
    delivered: int
    lost: int
    duplicated: int
    unanswered: int  # and there all the same

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self._asdict().items())


def is_kept(sender: Sender, journal: Journal) -> None:
    """What was answered is in the sender's journal under that id, what was refused is not, nothing is there twice."""
    accepted, refused = dict(sender.accepted), dict(sender.refused)  # it may go on
    kept = [said for saids in journal.sent.values() for said in saids]
    there = {text: id_ for id_, text in kept}
    lost = [text for text, id_ in accepted.items() if there.get(text) != id_]
    assert not lost, f"{sender.node.name} has lost {len(lost)} messages that it had accepted, like {lost[:3]}"
    assert len(there) == len(kept) == len({id_ for id_, _ in kept}), f"{sender.node.name} has messages twice"
    assert not there.keys() & refused.keys(), f"{sender.node.name} has messages that it refused"
    marks_agree(journal)


def marks_agree(journal: Journal) -> None:
    """The high-water marks say what the rows say."""
    assert journal.watermarks == journal.heads, f"marks {journal.watermarks}, but the newest rows are {journal.heads}"
    assert not journal.odd, f"it is said that something is missing: {journal.odd[:3]}"


def settle(senders: list[Sender], nodes: list[Victim]) -> list[Count]:
    """Compare the journals of nodes that have stopped with nothing owed; gives the counts, and prints them."""
    journals = {node.name: Journal(node.journal) for node in nodes}
    for journal in journals.values():
        marks_agree(journal)
    counts = []
    for sender in senders:
        is_kept(sender, journals[sender.node.name])
        for peer in sender.peers:
            counts.append(_settle_pair(sender, peer, journals[sender.node.name], journals[peer]))
            print(f"{sender.node.name} to {peer}: {counts[-1]}; not accepted {dict(sender.kinds)}")
    return counts


def _settle_pair(sender: Sender, peer: str, sent: Journal, received: Journal) -> Count:
    offered, arrived = sender.offered[peer], received.received[sender.node.name]
    texts = [text for _, text in arrived]
    accepted = [text for text in offered if text in sender.accepted]
    lost = set(accepted) - set(texts)
    there = set(texts) - set(accepted)
    count = Count(len(offered), len(accepted), len(texts), len(lost), len(texts) - len(set(texts)), len(there))
    assert (count.lost, count.duplicated) == (0, 0), f"{count}: {sorted(lost)[:5]}"
    order = {text: number for number, text in enumerate(offered)}
    assert [order[text] for text in texts] == sorted(order[text] for text in texts)
    assert arrived == sent.sent[peer]
    return count


def stop(nodes: list[Victim], *, stays: list[Victim] | None = None) -> None:
    """Wait until none of them, nor who stays, owes anything; then stop them in order."""
    for node in [*nodes, *(stays or [])]:
        node.drained()
    for node in nodes:
        node.stop()
