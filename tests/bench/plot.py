"""`python -m tests.bench.plot [RESULTS.json [PICTURE.png]]`: how costs grow with the file.

Draws with matplotlib, which is installed into the benchmark's own environment only: this module
calls itself there.
"""

from __future__ import annotations

import glob
import json
import os
import subprocess
import sys
from typing import Any

from tests.bench.environment import Environment
from tests.bench.stage import RESULTS, ROOT, surroundings

DRAWING = Environment("plot", ("matplotlib==3.10.7",))


def main() -> None:
    """Draw the newest results that have growth in them, or those named."""
    words = sys.argv[1:]
    results = words[0] if words else newest()
    picture = words[1] if len(words) > 1 else os.path.join(RESULTS, "growth.png")
    try:
        from matplotlib import pyplot as plt  # type: ignore[import-not-found]
    except ImportError:
        DRAWING.install()
        command = [DRAWING.program("python"), "-m", "tests.bench.plot"]
        paths = map(os.path.abspath, (results, picture))
        subprocess.run([*command, *paths], cwd=ROOT, env=surroundings(), check=True)
    else:
        draw(plt, results, picture)
        print(picture)


def newest() -> str:
    """The last results with growth in them."""
    for path in sorted(glob.glob(os.path.join(RESULTS, "*.json")), reverse=True):
        if growth(path)[1]:
            return path
    sys.exit("there are no results to draw yet; run `python -m tests.bench --only growth` first")


def growth(path: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The machine, and the lines on growth."""
    with open(path, encoding="utf-8") as file:
        found = json.load(file)
    return found["machine"], [x for x in found["lines"] if x["name"].startswith("growth-")]


def draw(plt: Any, results: str, picture: str) -> None:
    """One curve for each kind of commit: the median, and a band from least to most."""
    machine, lines = growth(results)
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for line in lines:
        spreads = [line["spreads"][size] for size in line["figures"]]
        sizes = [int(size.split()[0].replace(",", "")) for size in line["figures"]]
        [curve] = axes.plot(sizes, [s["median"] for s in spreads], marker="o")
        curve.set_label(line["what"].partition(",")[0])
        band = [[s[edge] for s in spreads] for edge in ("least", "most")]
        axes.fill_between(sizes, *band, color=curve.get_color(), alpha=0.2)
    axes.set(
        xscale="log", ylim=(0, None), xlabel="finished jobs in the file",
        ylabel="microseconds for each commit", title="What a commit costs as the file grows",
    )  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend()
    words = f"{machine['date'][:10]}, {machine['cores']} cores, SQLite {machine['sqlite']}"
    figure.supxlabel(words, fontsize=8, color="gray")
    figure.savefig(picture, dpi=150)


if __name__ == "__main__":
    main()
