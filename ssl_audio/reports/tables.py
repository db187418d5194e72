"""The figures of a comparison as rows: for the console, CSV, and a paper."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

Results = Mapping[str, Any]
COLUMNS = (
    "run", "dataset", "system", "probe", "setting", "draw", "rows", "metric", "mean", "std", "test",
)  # fmt: skip
NAMES = {"roc_auc": "ROC-AUC", "map": "mAP"}


def shown(value: float | None, digits: int = 3) -> str:
    """A figure, or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def protocol_text(results: Results) -> str:
    """What a table's protocol column says of a run."""
    p = results["protocol"]
    boot = p["bootstrap"]
    of = "track means" if p["train_on"] == "tracks" else "single segments"
    return (
        f"{p['probe']['kind']} probe on {of}; {boot['resamples']} resamples of "
        f"{round(100 * boot['fraction'])} % of {results['dataset']['counts']['test']} test tracks"
    )


def text_table(results: Results) -> str:
    """The main table in plain text."""
    header = ("system", "probe", "ROC-AUC", "mAP", "kNN mAP", "ECE")
    rows = [_cells(system) for system in results["systems"]]
    widths = [max(len(row[k]) for row in [header, *rows]) for k in range(len(header))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in (header, *rows)]
    notes = [f"note: {note}" for note in results["dataset"]["notes"]]
    return "\n".join([*lines, *notes, protocol_text(results)])


def _cells(system: Mapping[str, Any]) -> tuple[str, ...]:
    figures = [
        f"{shown(system[m]['mean'])} ± {shown(system[m]['std'])}" for m in ("roc_auc", "map")
    ]
    knn = system["knn"]["map"] if system.get("knn") else None
    calibration = system.get("calibration")
    return (
        system["name"],
        system["probe"],
        *figures,
        shown(knn),
        shown(calibration["ece"] if calibration else None),
    )


def csv_text(many: Sequence[Results]) -> str:
    """One figure a line: whole test set, each tag, limited data and few-shot draws."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for results in many:
        for system in results["systems"]:
            base = {
                "run": results["run"],
                "dataset": results["dataset"]["name"],
                "system": system["name"],
                "probe": system["probe"],
            }
            writer.writerows({**base, **row} for row in _figure_rows(results, system))
    return file.getvalue()


def _figure_rows(results: Results, system: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    training = results["dataset"]["counts"]["train"]
    for metric in NAMES:
        figures = {key: system[metric][key] for key in ("mean", "std", "test")}
        rows.append({"setting": "all", "rows": training, "metric": metric, **figures})
        for tag, by_metric in system["per_tag"].items():
            rows.append({"setting": f"tag {tag}", "metric": metric, **by_metric[metric]})
        for part in system["limited"]:
            rows += _draws(f"{100 * part['fraction']:g} %", part, metric)
        for part in system["few_shot"]:
            rows += _draws(f"{part['shots']} shots", part, metric)
    return rows


def _draws(setting: str, part: Mapping[str, Any], metric: str) -> list[dict[str, Any]]:
    return [
        {"setting": setting, "draw": draw, "rows": part["rows"], "metric": metric, "test": value}
        for draw, value in enumerate(part[metric])
    ]


def latex_table(results: Results) -> str:
    """The main table for a paper (booktabs)."""
    lines = [
        r"\begin{tabular}{llcc}",
        r"\toprule",
        r"System & Probe & ROC-AUC & mAP \\",
        r"\midrule",
    ]
    for system in results["systems"]:
        cells = [_escaped(system["name"]), system["probe"]]
        cells += [f"${shown(system[m]['mean'])} \\pm {shown(system[m]['std'])}$" for m in NAMES]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _escaped(text: str) -> str:
    for character in r"\_%&#$":
        text = text.replace(character, f"\\{character}")
    return text
