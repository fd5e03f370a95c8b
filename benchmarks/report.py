"""Turn results.json into RESULTS.md and chart.png."""

import json
from pathlib import Path
from typing import Any


def write(folder: Path) -> None:
    """Write both files from `results.json` in a folder."""
    found = json.loads((folder / "results.json").read_text())
    results, machine = found["results"], found["machine"]
    (folder / "RESULTS.md").write_text(_page(results, machine))
    _chart(results, folder / "chart.png")


def _page(results: list[dict[str, Any]], machine: dict[str, Any]) -> str:
    settings = ", ".join(f"{name} = {value}" for name, value in machine["settings"].items())
    lines = [
        "# What the backfill costs, measured",
        "",
        f"One run of `make bench` on {machine['date']}: {machine['cores']} cores, {machine['memory_gb']} GB,"
        f" {machine['system']}, Python {machine['python']}, PostgreSQL {machine['postgres']} on the same machine with"
        f" fsync on and defaults apart from {settings}. Times differ between machines; the ratios are what to look at.",
        "",
        "`ecm` is the real command, `ecm advance` from expanded to backfilled; timed is its phase, the proof of every"
        f" row included. The command takes {_overhead(results):.1f} s more to start, connect and end, whatever the"
        " table's size. The ways by hand are timed in an open session, and prove nothing. They are spared the sync"
        " trigger, which is their best case, except for the one that works through it. A fresh table each time,"
        " vacuumed, with autovacuum off for it.",
        "",
        "## Reached",
        "",
        "| | asked | reached |",
        "|---|---|---|",
        *(f"| {what} | {asked} | {reached} |" for what, asked, reached in _reached(results)),
        "",
        "## Everything",
        "",
        "| table | method | time | of one UPDATE | rows/s | WAL | heap | indexes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in (r for r in results if r["p99"] is None):
        base = _find(results, each["shape"], "one UPDATE")
        ratio = f"{each['seconds'] / base['seconds']:.2f}" if base else ""
        lines.append(
            f"| {each['shape']} | {each['method']} | {each['seconds']:.1f} s | {ratio} | {each['rows_per_second']:,.0f}"
            f" | {each['wal'] / 2**20:,.0f} MB | ×{each['heap']:.2f} | ×{each['indexes']:.2f} |"
        )
    lines += [
        "",
        "## What the application feels",
        "",
        "200 single-row UPDATEs a second from four sessions, every second one under the new name, measured from the"
        " moment each was due.",
        "",
        "| during | writes | errors | p50 | p99 | longest |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each['method']} | {each['writes']:,} | {each['errors']} | {each['p50']:.1f} ms | {each['p99']:.0f} ms"
        f" | {each['longest']:,.0f} ms |"
        for each in results
        if each["p99"] is not None
    ]
    return "\n".join([*lines, "", "![time, WAL and growth](chart.png)", ""])


def _overhead(results: list[dict[str, Any]]) -> float:
    """Return what the command took beyond its phase, at most."""
    return max((r["extra"]["command"] - r["seconds"] for r in results if "command" in r["extra"]), default=0.0)


def _find(results: list[dict[str, Any]], shape: str, method: str, *, loaded: bool = False) -> dict[str, Any] | None:
    return next(
        (r for r in results if r["shape"] == shape and r["method"] == method and (r["p99"] is not None) == loaded), None
    )


def _reached(results: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Return the table of what was asked and what was reached."""
    four, none, two, uuid = (
        f"{key} key + {count} indexes, 1M rows"
        for key, count in (("bigint", 4), ("bigint", 0), ("bigint", 2), ("uuid", 2))
    )
    large = "bigint key + 4 indexes, 10M rows"
    ecm, plain, cte = "ecm", "one UPDATE", "CTE of 1,000 through the trigger"

    def ratio(field: str, shape: str, method: str = ecm, *, base: str = plain, of: str | None = None) -> float:
        above, below = _find(results, shape, method), _find(results, of or shape, base)
        return above[field] / below[field] if above and below else float("nan")

    def own(field: str, shape: str, method: str = ecm) -> float:
        found = _find(results, shape, method)
        return found[field] if found else float("nan")

    quiet = _find(results, four, "no backfill", loaded=True)
    felt = _find(results, four, ecm, loaded=True)
    stall = f"{felt['longest']:.0f} ms; p99 ×{felt['p99'] / quiet['p99']:.1f}" if felt and quiet else "–"
    pinned = f"{ecm}, a transaction open"
    errors = sum(r["errors"] for r in results if r["method"].startswith(ecm))
    memory = f"{own('memory', four) / 2**20:.0f} MB; {own('memory', large) / 2**20:.0f} MB at 10M"
    return [
        ("wall, key + 4 indexes", "≤ 0.45", f"{ratio('seconds', four):.2f}"),
        ("wall, key only", "≤ 0.8", f"{ratio('seconds', none):.2f}"),
        (
            "wall, uuid key + 2 indexes",
            "≤ 0.5, and ≤ 1.15 of bigint's",
            f"{ratio('seconds', uuid):.2f}; {ratio('seconds', uuid, base=ecm, of=two):.2f}",
        ),
        ("WAL, key + 4 indexes", "≤ 0.55", f"{ratio('wal', four):.2f}"),
        ("heap after / before", "≤ ×1.25", f"×{own('heap', four):.2f}"),
        ("indexes after / before, 4 indexes", "≤ ×1.5", f"×{own('indexes', four):.2f}"),
        ("longest stall of an application write", "≤ 250 ms, p99 ≤ 5 × that without", stall),
        (
            "rows/s at 10M against 1M",
            "≥ 0.85",
            f"{ratio('rows_per_second', large, base=ecm, of=four):.2f}",
        ),
        ("memory of ecm", "≤ 150 MB, the same at 10M", memory),
        (
            "with a transaction held open all along",
            "done, ≤ 1.2, no application error",
            f"{ratio('seconds', four, pinned):.2f}, {errors} errors",
        ),
        (
            "against the 1,000-row CTE method",
            "≥ 4.5 × its rows/s",
            f"{ratio('rows_per_second', four, base=cte):.1f} ×",
        ),
    ]


def _chart(results: list[dict[str, Any]], path: Path) -> None:
    """Draw time, WAL and growth of the table with four indexes, side by side."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shape = "bigint key + 4 indexes, 1M rows"
    shown = [r for r in results if r["shape"] == shape and r["p99"] is None and "open" not in r["method"]]
    names = [r["method"].replace(" through", "\nthrough") for r in shown]
    colours = ["#2a7f62" if r["method"] == "ecm" else "#b8b8b8" for r in shown]
    felt = {r["method"]: r["longest"] for r in results if r["p99"] is not None}
    panels = (
        ("seconds", [r["seconds"] for r in shown], "{:.1f}"),
        ("WAL, MB", [r["wal"] / 2**20 for r in shown], "{:.0f}"),
        ("indexes, × before", [r["indexes"] for r in shown], "{:.2f}"),
        ("longest wait of a write, ms", [felt.get(r["method"], 0) for r in shown], "{:,.0f}"),
    )
    figure, axes = pyplot.subplots(1, len(panels), figsize=(12, 2.6), sharey=True)
    for axis, (title, values, form) in zip(axes, panels, strict=True):
        bars = axis.barh(names, values, color=colours)
        axis.bar_label(bars, [form.format(value) for value in values], padding=3, fontsize=8)
        axis.set_title(title, fontsize=9)
        axis.set_xlim(0, max(values) * 1.25)
        axis.xaxis.set_visible(False)
        axis.spines[["top", "right", "bottom"]].set_visible(False)
        axis.tick_params(labelsize=8, length=0)
    axes[0].invert_yaxis()
    figure.suptitle("Filling a column of 1M rows, key and 4 indexes", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    write(Path(__file__).parent)
