"""chatctl: the command that drives chatd. Of chatd it imports only `paths` and the version; it never imports trio."""
