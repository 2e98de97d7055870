"""How long randomized tests run: briefly and always alike, or for `MINUTES`, each time differently (`make soak`)."""

import os

from hypothesis import HealthCheck, settings

# How many times as many examples as in the short form.
TIMES = 1 + int(float(os.environ.get("MINUTES", "0")) / 4)


def examples(number: int, **more: int) -> settings:
    """Settings for so many examples in the short form: the same in each run, on a slow machine as on a fast one."""
    return settings(
        max_examples=number * TIMES,
        derandomize=TIMES == 1,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )
