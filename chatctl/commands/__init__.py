"""The verbs, one file each, all of one shape: a `run` function and the `command` that parses for it."""
