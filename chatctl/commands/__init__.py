"""The verbs, one file or folder each. `table` imports the module of a verb's name and uses its `command`."""
