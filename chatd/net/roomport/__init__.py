"""Room ports: TCP ports through which plain clients join hosted rooms."""
