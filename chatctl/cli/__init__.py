"""The command line: global options, the table of verbs, what verbs have in common."""
