"""The services and processes of one machine, for development, the demo and the tests.

Nothing here is used in production, and nothing here reads Django's settings: the services'
addresses reach Counterpoint through its environment alone.
"""

from counterpoint.embedded.errors import EmbeddedError, ProcessEnded
from counterpoint.embedded.ports import Ports
from counterpoint.embedded.services import EmbeddedServices

__all__ = ["EmbeddedError", "EmbeddedServices", "Ports", "ProcessEnded"]
