"""The node's append-only event log in SQLite. Knows no peers, has no sockets, nurseries or timers."""
