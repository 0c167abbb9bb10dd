from tests.harness.fixtures import network

__all__ = ["network"]
