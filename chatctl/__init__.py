"""chatctl: the command that drives chatd. Of chatd it imports `paths` and the version, and never trio."""
