"""The command line: global options, the table of verbs, and what several verbs share."""
