"""How many examples are tried."""

from tests.faults.clients import MINUTES

# How many times as many examples as in the short form.
TIMES = 1 + int(MINUTES / 4)
