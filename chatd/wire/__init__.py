"""Bytes to frames and back, sans-IO: no trio, socket, ssl, time, os or logging in here."""
