"""The types of the control socket: parameters, results, errors and events."""
