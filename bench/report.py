"""What was measured, for people and for programs: tables in Markdown, JSON, and a plot."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import machine
from bench.goals import Goal
from bench.load import Results
from bench.parts import NEVER_SEEN, REPEATED
from bench.plan import Plan
from bench.servers import LABELS, PEERS
from bench.workload import DEEP, READS, SEARCH, WRITES

_COLUMNS = ["rowboat", *PEERS, "ceiling", "sql"]


# Measurements that tell why a goal is not met, and how each differs from the line before it.
_OBSTACLES = {
    "headers": "one process",
    "headers, the same": "with as many headers as Rowboat's answers have",
    "1 processes": "one process",
    "2 processes": "two processes",
    "readers alone": "16 readers",
    "readers beside readers": "16 readers beside 16 more",
    "readers beside writers": "16 readers beside 16 writers",
}


def save(plan: Plan, results: Results, goals: list[Goal], minutes: float, folder: Path) -> str:
    """Write report.md, results.json and plot.png; returns the report."""
    folder.mkdir(parents=True, exist_ok=True)
    about = machine.description() | {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "plan": asdict(plan),
        "minutes": round(minutes, 1),
    }
    report = "\n".join(_report(plan, results, goals, about)) + "\n"
    (folder / "report.md").write_text(report, encoding="utf-8")
    told = {"about": about, "goals": [asdict(goal) for goal in goals], **results.as_json()}
    (folder / "results.json").write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    _plot(plan, results, folder / "plot.png")
    return report


def _report(plan: Plan, results: Results, goals: list[Goal], about: dict[str, Any]) -> Iterator[str]:
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    yield f"# Benchmark, {about['date']}, {plan.name} run of {about['minutes']} minutes"
    yield f"\n{about['processor']}, {about['cores']} cores; {about['system']}; Python {about['python']}, "
    yield f"SQLite {about['sqlite']}; {versions}."
    yield f"Medians of {plan.repetitions} interleaved repetitions of {plan.seconds} s each, 16 connections, one process"
    yield "each where nothing else is said.\n"
    yield "## Goals\n"
    rows = [[goal.what, goal.goal, goal.measured, goal.verdict] for goal in goals]
    yield from _table(["what", "goal", "measured", ""], rows)
    for size in plan.compared_sizes:
        yield f"\n## {size:,} articles: requests/s (p50 / p99 in ms)\n"
        yield from _table(["", *(LABELS[who] for who in _COLUMNS)], list(_rows(results, size)))
    yield "\n## p50 in ms by size\n"
    ends = (plan.sizes[0], plan.sizes[-1])
    rows = [[route, *(_flat(results, size, route) for size in ends)] for route in [*READS, DEEP, *WRITES[:2]]]
    yield from _table(["", *(f"{size:,}" for size in ends)], rows)
    yield "\n## What stands in the way\n"
    yield from _table(["", "", "requests/s (p50 / p99 in ms)", "cores that the workers got"], list(_obstacles(results)))
    yield from _notes(results)


def _rows(results: Results, size: int) -> Iterator[list[str]]:
    for route in [*READS, SEARCH]:
        for mode in (REPEATED, NEVER_SEEN):
            yield [f"{route}, {mode}", *(_cell(results, size, who, route, mode) for who in _COLUMNS)]
    for route in WRITES:
        yield [route, *(_cell(results, size, who, route, NEVER_SEEN) for who in _COLUMNS)]


def _cell(results: Results, size: int, who: str, route: str, mode: str) -> str:
    values = [results.median("compare", size, who, route, mode, what) for what in ("rps", "p50_ms", "p99_ms")]
    rps, p50, p99 = values
    return "" if rps is None or p50 is None or p99 is None else f"{rps:,.0f} ({p50:.3g} / {p99:.3g})"


def _flat(results: Results, size: int, route: str) -> str:
    mode = REPEATED if route == "tags" else NEVER_SEEN
    p50 = results.median("flatness", size, "rowboat", route, mode, "p50_ms")
    return "" if p50 is None else f"{p50:.3g}"


def _obstacles(results: Results) -> Iterator[list[str]]:
    for key in results.samples:
        if key.part in _OBSTACLES:
            rps, p50, p99 = (
                results.median(key.part, key.size, key.who, key.route, key.mode, what) or 0
                for what in ("rps", "p50_ms", "p99_ms")
            )
            cores = results.figures.get(f"cores that {key.part} get, {key.route}, {key.mode}")
            got = f"{cores:.2f}" if cores else ""
            who = f"{LABELS[key.who]}, {_OBSTACLES[key.part]}"
            yield [f"{key.route}, {key.mode}", who, f"{rps:,.0f} ({p50:.3g} / {p99:.3g})", got]


def _notes(results: Results) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for key, reason in results.missing.items():
        reasons.setdefault(reason, []).append(f"{LABELS[key.who]}: {key.route} ({key.part}, {key.mode}, {key.size:,})")
    if reasons or results.notes:
        yield "\n## Not measured\n"
        yield from (f"- {note}" for note in results.notes)
        for reason, what in reasons.items():
            shown = "; ".join(what[:4]) + (f"; and {len(what) - 4} more" if len(what) > 4 else "")
            yield f"- {reason}: {shown}"


def _table(head: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    lines = [head, *(row for row in rows if any(row[1:]))]
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"


def _plot(plan: Plan, results: Results, path: Path) -> None:
    import matplotlib  # type: ignore[import-not-found]

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(14, 6), layout="constrained")
    size = plan.peer_sizes[-1]
    who_is_shown = ["rowboat", *PEERS, "ceiling"]
    for number, who in enumerate(who_is_shown):
        bars = [
            results.median("compare", size, who, route, REPEATED if route == "tags" else NEVER_SEEN) or 0
            for route in [*READS, "comment"]
        ]
        places = [place + 0.17 * (number - 2) for place in range(len(bars))]
        left.bar(places, bars, width=0.16, label=LABELS[who])
    left.set_xticks(range(len(READS) + 1), [*READS, "write a comment"], rotation=40, ha="right")
    if any(bar.get_height() for bar in left.patches):
        left.set_yscale("log")
    left.set_ylabel("requests per second, never-seen requests")
    left.set_title(f"One process each, {size:,} articles")
    left.legend(loc="lower left", bbox_to_anchor=(0, 1.05), ncols=5, fontsize="small")
    for route in [*READS, DEEP]:
        points = [
            (str(size), p50)
            for size in (plan.sizes[0], plan.sizes[-1])
            if (
                p50 := results.median(
                    "flatness", size, "rowboat", route, REPEATED if route == "tags" else NEVER_SEEN, "p50_ms"
                )
            )
        ]
        right.plot([size for size, _ in points], [p50 for _, p50 in points], marker="o", label=route)
    right.set_ylim(bottom=0)
    right.set_xlabel("articles")
    right.set_ylabel("p50 in ms, 16 connections")
    right.set_title("Rowboat: small and large")
    right.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
