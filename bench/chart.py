#!/usr/bin/env python3
"""Draws bench/speedup.svg, the chart of README.md: speed-up against the size of a task, Python's pools included.

Runs bench_compare and compare_python.py on the kernel bbp_pi, or reads the --json files of both. Each contestant is
compared with the sequential program in its own language, and stands at the time that one task takes there.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TASKS = 64  # of a job of bbp_pi, in both programs

# Name in the figures, text in the chart, colour on white, colour on black, dashes.
LINES = (
    ("pool_map", "pool_map", "#0060c0", "#58a6ff", ""),
    ("pool_submit", "pool_submit", "#00857c", "#39c5bb", ""),
    ("OpenMP dynamic", "OpenMP dynamic", "#b04a00", "#ff9d4d", "7 3"),
    ("thread pool", "thread pool", "#7a5c00", "#d8b54a", "7 3"),
    ("fork for each", "a fork for each task", "#666666", "#a0a0a0", "7 3"),
    ("multiprocessing.Pool", "Python: multiprocessing.Pool", "#b3123b", "#ff7b93", "2 3"),
    ("ProcessPoolExecutor", "Python: ProcessPoolExecutor", "#7f3c8d", "#d2a8ff", "2 3"),
    ("joblib", "Python: joblib", "#3d6b00", "#8cc63f", "2 3"),
)

WIDTH, HEIGHT = 800, 360
LEFT, RIGHT, TOP, BOTTOM = 56, 300, 24, 58  # around the plot; the legend lies in the right margin


# ---- Figures ---------------------------------------------------------------------------------------------------------


def run(command, path):
    """The figures that a program writes to --json path."""
    if subprocess.run(command + ["--json", path], stdout=subprocess.DEVNULL).returncode != 0:
        sys.exit(f"{command[0]} failed")
    return read(path)


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def measure(build, quick):
    with tempfile.TemporaryDirectory() as folder:
        more = ["--only", "bbp_pi"] + (["--quick"] if quick else [])
        return (run([os.path.join(build, "bench", "bench_compare")] + more, os.path.join(folder, "c.json"))
                + run([sys.executable, os.path.join(HERE, "compare_python.py")] + more,
                      os.path.join(folder, "python.json")))


def points_of(figures):
    """{contestant: [(seconds of a task, speed-up), ...]}, each in the order of the sizes."""
    points = {}
    for figure in sorted(figures, key=lambda figure: figure["size"]):
        kernel, name = figure["name"].split("/", 1)
        if kernel == "bbp_pi":
            points.setdefault(name, []).append((figure["baseline_seconds"] / TASKS, figure["speedup"]))
    return points


def pays_from(points):
    """The size of a task from which on the speed-up is more than 1, between points measured; None: never."""
    crossing = None
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        if y0 < 1 <= y1:
            crossing = math.exp(math.log(x0) + (1 - y0) / (y1 - y0) * math.log(x1 / x0))
        elif y1 < 1:
            crossing = None
    return crossing


# ---- Drawing ---------------------------------------------------------------------------------------------------------


def readable(seconds):
    for factor, unit in ((1e9, "ns"), (1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{float(f'{seconds * factor:.2g}'):g} {unit}"
    return f"{seconds:.2g} s"


class Chart:
    def __init__(self, points):
        self.points = {name: points[name] for name, *_ in LINES if name in points}
        xs = [x for line in self.points.values() for x, _ in line]
        self.left, self.right = math.log10(min(xs)) - 0.1, math.log10(max(xs)) + 0.1
        self.most = max(max(y for line in self.points.values() for _, y in line) * 1.05, 1.25)

    def x(self, seconds):
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(seconds) - self.left) / (self.right - self.left)

    def y(self, speedup):
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - speedup / self.most)

    def axes(self):
        for decade in range(math.ceil(self.left), math.floor(self.right) + 1):
            x = self.x(10.0 ** decade)
            yield f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>'
            yield f'<text class="mid" x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}">{readable(10.0 ** decade)}</text>'
        step = 0.5 if self.most <= 4 else 2 ** math.ceil(math.log2(self.most / 8))
        for i in range(int(self.most / step) + 1):
            y = self.y(i * step)
            yield f'<path class="{"even" if i * step == 1 else "grid"}" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
            yield f'<text class="end" x="{LEFT - 8}" y="{y + 4:.1f}">{i * step:g}</text>'
        middle = (TOP + HEIGHT - BOTTOM) / 2
        yield f'<text class="mid" transform="translate(16 {middle:.1f}) rotate(-90)">speed-up</text>'
        yield (f'<text class="mid" x="{(LEFT + WIDTH - RIGHT) / 2:.1f}" y="{HEIGHT - BOTTOM + 42}">'
               f'time that a task takes, {TASKS} tasks a job</text>')

    def lines(self):
        for name, points in self.points.items():
            path = "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in points)
            yield f'<path class="line {css_class(name)}" d="M{path}"/>'

    def legend(self):
        """The contestants, the one first that pays from the smallest tasks on."""
        x, y = WIDTH - RIGHT + 18, TOP + 6
        yield f'<text x="{x}" y="{y}">faster than the sequential program …</text>'
        texts = {name: text for name, text, *_ in LINES}
        for name in sorted(self.points, key=lambda name: pays_from(self.points[name]) or math.inf):
            y += 32
            even = pays_from(self.points[name])
            yield f'<path class="line {css_class(name)}" d="M{x} {y}h30"/>'
            yield f'<text x="{x + 40}" y="{y}">{texts[name]}</text>'
            yield (f'<text class="small" x="{x + 40}" y="{y + 14}">'
                   + (f"… from tasks of {readable(even)} on</text>" if even else "… at none of these sizes</text>"))

    def svg(self):
        body = "\n".join([*self.axes(), *self.lines(), *self.legend()])
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
                f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">\n<style>\n{style()}</style>\n'
                f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>\n{body}\n</svg>\n')


def css_class(name):
    return "".join(character for character in name.lower() if character.isalnum())


def style():
    """It has a background of its own, so that it can be read on any page; both follow the reader's colour scheme."""
    def colours(paper, text, grid, even, which):
        yield f".paper{{fill:{paper}}} text{{fill:{text}}} .grid{{stroke:{grid}}} .even{{stroke:{even}}}"
        for line in LINES:
            yield f".{css_class(line[0])}{{stroke:{line[which]}}}"

    light = "\n".join(colours("#ffffff", "#24292f", "#e4e4e4", "#888888", 2))
    dark = "\n".join(colours("#0d1117", "#e6edf3", "#30363d", "#8b949e", 3))
    dashes = "\n".join(f".{css_class(line[0])}{{stroke-dasharray:{line[4]}}}" for line in LINES if line[4])
    return (".mid{text-anchor:middle} .end{text-anchor:end} .small{font-size:11px}\n"
            ".line{fill:none;stroke-width:2.2;stroke-linejoin:round}\n"
            f"{dashes}\n{light}\n@media (prefers-color-scheme:dark){{\n{dark}\n}}\n")


# ---- The program -----------------------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("file", nargs="?", default=os.path.join(HERE, "speedup.svg"), help="default: %(default)s")
    parser.add_argument("--build", metavar="FOLDER", default=os.path.join(HERE, os.pardir, "build"),
                        help="where the C programs were built; default: build/")
    parser.add_argument("--from", dest="files", metavar="JSON", action="append", default=[],
                        help="draw these figures instead of measuring; may be given several times")
    parser.add_argument("--quick", action="store_true", help="small sizes: a test of this program")
    options = parser.parse_args()
    program = os.path.join(options.build, "bench", "bench_compare")
    if not options.files and not os.access(program, os.X_OK):
        parser.error(f"there is no program {program}: build it first, or name its folder with --build")
    figures = [figure for path in options.files for figure in read(path)] or measure(options.build, options.quick)
    points = points_of(figures)
    if not any(name in points for name, *_ in LINES):
        sys.exit("nothing to draw: no figures of bbp_pi")
    with open(options.file, "w", encoding="utf-8") as file:
        file.write(Chart(points).svg())


if __name__ == "__main__":
    main()
