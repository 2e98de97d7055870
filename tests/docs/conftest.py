"""The tests of documents type the commands that the documents show."""

from tests.system.conftest import clock, fork, in_process, project

__all__ = ["clock", "fork", "in_process", "project"]
