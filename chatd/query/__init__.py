"""Questions about messages and rooms that only read."""
