"""How long these tests take: `make soak` sets MINUTES, for their long form."""

import os

# How many times as many examples as in the short form.
TIMES = 1 + int(float(os.environ.get("MINUTES", "0")))
