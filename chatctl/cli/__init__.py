"""The command line: global options, the table of verbs, and code that several verbs share."""
