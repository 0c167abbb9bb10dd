"""One file per noun; methods.table maps every method name to its handler."""
