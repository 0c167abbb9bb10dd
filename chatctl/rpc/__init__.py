"""Client side of the control socket: connection, sessions, subscriptions, pages of history."""
