"""The benchmark: `make bench`, or `make bench QUICK=1`. See README.md."""

import argparse
import signal
import sys
from dataclasses import replace
from functools import partial

from bench import machine, parts
from bench.goals import judge
from bench.load import require_wrk
from bench.plan import BENCH, FULL, QUICK, SMOKE, Clock, Plan, dataset
from bench.report import save
from bench.servers import BenchError


def run(plan: Plan) -> str:
    """Measure everything, save it in bench/results/, and return the report. Raises BenchError."""
    require_wrk()
    # What this process does beside wrk belongs on wrk's core.
    machine.pin(machine.LOAD_CORE)
    for log in (BENCH / "results" / "logs").glob("*.log"):
        log.unlink()
    clock = Clock(plan.minutes)
    data = {size: dataset(size) for size in plan.sizes}
    small, middle, large = data[plan.sizes[0]], data[plan.peer_sizes[-1]], data[plan.sizes[-1]]
    bench = parts.Bench(plan, clock)
    steps = [
        partial(bench.start_time, large),
        partial(bench.memory, large),
        partial(bench.search, large),
        partial(bench.headers, small),
        *([partial(bench.flatness, small, large)] if small is not large else []),
        partial(bench.durable_writes, middle),
        partial(bench.readers_beside_writers, middle),
        partial(bench.scaling, middle),
        *(partial(bench.compare, data[size]) for size in plan.compared_sizes),
    ]
    try:
        for step in steps:
            step()
            for each in data.values():
                each.remove_copies()
    finally:
        for each in data.values():
            each.remove_copies()
        goals = judge(bench.results, plan.sizes, plan.peer_sizes)
        report = save(plan, bench.results, goals, clock.minutes(), BENCH / "results")
    return report


def main() -> None:
    """Run the plan that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description="Rowboat's benchmark.")
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--quick", action="store_const", const=QUICK, dest="plan", help="under five minutes")
    extent.add_argument("--smoke", action="store_const", const=SMOKE, dest="plan", help="only whether it works")
    parser.add_argument("--repetitions", type=int, help="of each measurement; fewer take less time")
    # However it ends, the servers are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))
    try:
        arguments = parser.parse_args()
        plan = arguments.plan or FULL
        print(run(replace(plan, repetitions=arguments.repetitions or plan.repetitions)))
    except BenchError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit("bench: interrupted; what was measured so far is in bench/results/")


if __name__ == "__main__":
    main()
