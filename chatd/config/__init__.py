"""Settings of a node: their table, value types, flags and loading."""
