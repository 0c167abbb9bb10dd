"""The peers of a node: identity, registry, trust, outboxes. No sockets, nurseries or timers."""
