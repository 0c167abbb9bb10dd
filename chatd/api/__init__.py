"""The vocabulary of the control socket: what the daemon and its clients say to each other."""
