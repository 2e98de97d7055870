"""Writes deploy/grafana.json, a dashboard with a panel for each metric: `python -m deploy.grafana`."""

import json
from pathlib import Path
from typing import Any

from metrics import METRICS, Metric

DASHBOARD = Path(__file__).with_name("grafana.json")

_WIDTH, _HEIGHT = 12, 8

# Rates are taken over four scrapes at least, whatever their distance (Grafana fills it in).
_RATE = "rate({}[$__rate_interval])"


def _queries(metric: Metric) -> list[tuple[str, str]]:
    """What a panel shows: queries of Prometheus, each with its legend. What is per second comes first."""
    by = ", ".join(metric.labels)
    legend = " ".join(f"{{{{{label}}}}}" for label in metric.labels)
    count, total, buckets = (_RATE.format(metric.name + end) for end in ("_count", "_sum", "_bucket"))
    if metric.kind == "gauge":
        return [(metric.name, "now")]
    if metric.kind == "counter":
        return [(f"sum({_RATE.format(metric.name + '_total')})", "per second")]
    per_second = (f"sum by ({by}) ({count})", f"{legend} per second".strip())
    if metric.kind == "summary":
        return [per_second, (f"sum by ({by}) ({total}) / sum by ({by}) ({count})", f"{legend} mean")]
    return [per_second, (f"histogram_quantile(0.99, sum by (le) ({buckets}))", "99 of 100 take at most")]


def _panel(number: int, metric: Metric) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    unit = {"bytes": "bytes", "seconds": "s"}.get(metric.name.rpartition("_")[2], "short")
    queries = _queries(metric)
    on_the_right = [{"id": "unit", "value": "short"}, {"id": "custom.axisPlacement", "value": "right"}]
    first = {"matcher": {"id": "byFrameRefID", "options": "A"}, "properties": on_the_right}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": metric.name,
        "description": metric.help,
        "datasource": source,
        "gridPos": {"x": number % 2 * _WIDTH, "y": number // 2 * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": [first] if len(queries) > 1 else []},
        "targets": [
            {"refId": letter, "expr": query, "legendFormat": legend, "datasource": source}
            for letter, (query, legend) in zip("AB", queries, strict=False)
        ],
    }


def dashboard() -> str:
    """The dashboard as Grafana imports it."""
    return json.dumps(
        {
            "title": "Rowboat",
            "uid": "rowboat",
            "schemaVersion": 39,
            "refresh": "30s",
            "time": {"from": "now-6h", "to": "now"},
            "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus"}]},
            "panels": [_panel(number, metric) for number, metric in enumerate(METRICS)],
        },
        indent=2,
    )


if __name__ == "__main__":
    DASHBOARD.write_text(dashboard() + "\n")
