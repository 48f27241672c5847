#!/usr/bin/env python3
"""Pools of processes in Python, on the same kernels as the C benchmarks.

Needs nothing but python3; joblib and dask take part if they can be imported. Contestants take turns, round after
round, and the medians are printed, with the quartiles beside them. Each result is checked before its time counts. The
figures of the C programs, from their --json files or run here, go into the same table.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor

try:
    import joblib
except ImportError:
    joblib = None
try:
    import dask
except ImportError:
    dask = None


# ---- Kernels: as in kernels.c ----------------------------------------------------------------------------------------


def square(x):
    return x * x


def empty(_):
    return None


def bbp_pi(terms):
    total, scale = 0.0, 1.0
    for k in range(terms):
        n = 8.0 * k
        total += scale * (4 / (n + 1) - 2 / (n + 4) - 1 / (n + 5) - 1 / (n + 6))
        scale /= 16
    return total


def echo(data):
    return bytes(memoryview(data))


# ---- Contestants: each maps a function over a list, and answers one call; most can hand out one item at a time -------


class Sequential:
    name = "sequential (Python)"

    def __init__(self, workers):
        pass

    def map(self, function, items):
        return [function(item) for item in items]

    def submit_all(self, function, items):
        return self.map(function, items)

    def call(self, function, item):
        return function(item)

    def close(self):
        pass


class Pool:
    name = "multiprocessing.Pool"

    def __init__(self, workers):
        self.pool = multiprocessing.Pool(workers)

    def map(self, function, items):
        return self.pool.map(function, items)

    def submit_all(self, function, items):
        results = [self.pool.apply_async(function, (item,)) for item in items]
        return [result.get() for result in results]

    def call(self, function, item):
        return self.pool.apply(function, (item,))

    def close(self):
        self.pool.close()
        self.pool.join()


class Executor:
    name = "ProcessPoolExecutor"

    def __init__(self, workers):
        self.workers = workers
        self.executor = ProcessPoolExecutor(workers)

    def map(self, function, items):
        # As many chunks as multiprocessing.Pool makes: the default of 1 would not be a fair rival.
        chunk = max(1, len(items) // (4 * self.workers))
        return list(self.executor.map(function, items, chunksize=chunk))

    def submit_all(self, function, items):
        futures = [self.executor.submit(function, item) for item in items]
        return [future.result() for future in futures]

    def call(self, function, item):
        return self.executor.submit(function, item).result()

    def close(self):
        self.executor.shutdown()


class Joblib:
    """Has no submit_all(), since joblib makes batches of calls itself. A new one uses the processes of the last."""

    name = "joblib"

    def __init__(self, workers):
        self.parallel = joblib.Parallel(n_jobs=workers).__enter__()

    def map(self, function, items):
        return self.parallel(joblib.delayed(function)(item) for item in items)

    def call(self, function, item):
        return self.map(function, [item])[0]

    def close(self):
        self.parallel.__exit__(None, None, None)


class Dask:
    name = "dask, processes"
    most_items = 1000  # a larger graph takes too long

    def __init__(self, workers):
        self.executor = ProcessPoolExecutor(workers)

    def map(self, function, items, **options):
        tasks = [dask.delayed(function)(item) for item in items]
        return list(dask.compute(*tasks, scheduler="processes", pool=self.executor, **options))

    def submit_all(self, function, items):
        return self.map(function, items, chunksize=1)  # by default it hands out six at a time

    def call(self, function, item):
        return self.map(function, [item])[0]

    def close(self):
        self.executor.shutdown()


def contestants():
    kinds = [Sequential, Pool, Executor]
    if joblib:
        kinds.append(Joblib)
    if dask:
        kinds.append(Dask)
    return kinds


# ---- Stages: a kernel at one size ------------------------------------------------------------------------------------


class Stage:
    """A measurement: run(contestant) does the work once, by the contestant's method `needs`, and returns `expected`."""

    def __init__(self, kernel, size, run, expected, needs):
        self.kernel, self.size, self.run, self.expected, self.needs = kernel, size, run, expected, needs

    def takes(self, pool):
        return hasattr(pool, self.needs) and len(self.expected) <= getattr(pool, "most_items", len(self.expected))


def map_stage(kernel, size, function, items):
    return Stage(kernel, size, lambda pool: pool.map(function, items), [function(item) for item in items], "map")


def submit_stage(kernel, size, function, items):
    expected = [function(item) for item in items]
    return Stage(kernel, size, lambda pool: pool.submit_all(function, items), expected, "submit_all")


def call_stage(kernel, size, function, item, calls):
    """One call at a time; the time is that of one call."""
    expected = [function(item)] * calls
    stage = Stage(kernel, size, lambda pool: [pool.call(function, item) for _ in range(calls)], expected, "call")
    stage.calls = calls
    return stage


KERNELS = ("square", "empty", "bbp_pi", "submit", "round-awake", "echo")


def stages(quick):
    for count in [1000] if quick else [1000, 10000, 100000]:
        yield map_stage("square", count, square, list(range(count)))
    for count in [1000] if quick else [1000, 10000, 100000]:
        yield map_stage("empty", count, empty, [0] * count)
    for terms in [10, 100] if quick else [1, 10, 100, 1000, 10000, 100000]:
        yield map_stage("bbp_pi", terms, bbp_pi, [terms] * 64)
    count = 200 if quick else 5000
    yield submit_stage("submit", count, square, list(range(count)))
    yield call_stage("round-awake", 1, square, 3, 20 if quick else 200)
    size = 1 << 16 if quick else 1 << 20
    yield call_stage("echo", size, echo, bytes(size), 2 if quick else 10)


def time_turn(stage, pool):
    time.sleep(0.01)  # the processes of the turn before come to rest
    start = time.perf_counter()
    result = stage.run(pool)
    seconds = time.perf_counter() - start
    if list(result) != stage.expected:
        sys.exit(f"{pool.name}: the result of {stage.kernel} is wrong")
    return seconds / getattr(stage, "calls", 1)


def measure_stage(stage, pools, rounds, workers):
    pools = [pool for pool in pools if stage.takes(pool)]
    times = {pool.name: [] for pool in pools}
    for pool in pools:
        time_turn(stage, pool)  # warm up
    for turn in range(rounds):
        for pool in pools[turn % len(pools):] + pools[:turn % len(pools)]:
            times[pool.name].append(time_turn(stage, pool))
    base = statistics.median(times[Sequential.name])
    return [measurement(stage.kernel, pool.name, stage.size, workers if pool.name != Sequential.name else 1,
                        times[pool.name], base) for pool in pools]


def getpid_slowly(seconds):
    time.sleep(seconds)
    return os.getpid()


def measure_create(workers, rounds):
    """The time from nothing to a pool whose workers have all run a task, as create-2-ready of bench_limits. The tasks
    sleep for a moment, so that one worker cannot take them all; that moment is subtracted."""
    kinds = [kind for kind in contestants() if kind is not Sequential and hasattr(kind, "submit_all")]
    times = {kind.name: [] for kind in kinds}
    nap = 0.005
    for _ in range(rounds):
        for kind in kinds:
            start = time.perf_counter()
            pool = kind(workers)
            pool.submit_all(getpid_slowly, [nap] * workers)
            times[kind.name].append(time.perf_counter() - start - nap)
            pool.close()
    return [measurement(f"create-{workers}-ready", kind.name, 1, workers, times[kind.name],
                        statistics.median(times[kind.name])) for kind in kinds]


# ---- Figures ---------------------------------------------------------------------------------------------------------


def measurement(kernel, contestant, size, workers, times, baseline):
    seconds = statistics.median(times)
    quartiles = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else [seconds] * 3
    return {"name": f"{kernel}/{contestant}", "size": size, "workers": workers, "seconds": seconds,
            "baseline_seconds": baseline, "speedup": baseline / seconds, "quartiles": quartiles[::2]}


def measure_all(options):
    figures = []
    if options.rounds:
        if not options.only:
            figures += measure_create(options.workers, options.rounds)  # first: nothing else runs yet
        pools = [kind(options.workers) for kind in contestants()]
        for stage in stages(options.quick):
            if options.only not in (None, stage.kernel):
                continue
            print(f"{stage.kernel} {stage.size} ...", file=sys.stderr)
            figures += measure_stage(stage, pools, options.rounds, options.workers)
        for pool in pools:
            pool.close()
    return figures


def run_parpool(binary, options):
    """The figures of one of the C programs, run now."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "figures.json")
        command = [binary, "--json", path, "--workers", str(options.workers)] + (["--quick"] if options.quick else [])
        status = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
        if status != 0:
            sys.exit(f"{binary} ended with status {status}")
        return read_figures(path)


def read_figures(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


# Files and programs are checked before anything is measured, so that no measurement is lost if one is missing.


def output_file(path):
    try:
        return open(path, "w", encoding="utf-8")
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot write {path}: {error.strerror}")


def figures_file(path):
    try:
        return read_figures(path)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"no figures in {path}: {error}")


def program(path):
    if not shutil.which(path):
        raise argparse.ArgumentTypeError(f"there is no program {path}")
    return path


def readable(seconds):
    for factor, unit in ((1e9, "ns"), (1e6, "us"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


PER_ITEM = ("square", "empty", "submit")  # kernels whose size is a number of items; others have the size of an item


def print_table(figures):
    kernels = []
    for figure in figures:
        kernel = figure["name"].split("/", 1)[0]
        if kernel not in kernels:
            kernels.append(kernel)
    print(f"{'kernel':<24}{'size':>10} {'workers':>8}  {'contestant':<32}{'time':>10}  {'[quartiles]':<19}"
          f"{'an item':>10}{'ratio':>10}")
    for kernel in kernels:
        rows = [figure for figure in figures if figure["name"].split("/", 1)[0] == kernel]
        for row in sorted(rows, key=lambda row: (row["size"], row["seconds"])):
            item = readable(row["seconds"] / row["size"]) if kernel in PER_ITEM else ""
            spread = f"[{', '.join(readable(quartile) for quartile in row['quartiles'])}]" if "quartiles" in row else ""
            print(f"{kernel:<24}{row['size']:>10} {row['workers']:>8}  {row['name'].split('/', 1)[1]:<32}"
                  f"{readable(row['seconds']):>10}  {spread:<19}{item:>10}{row['speedup']:>10.3g}")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="multiprocessing.Pool and ProcessPoolExecutor, and joblib and dask where they can be imported, on "
                    "the kernels of the C benchmarks. A ratio is against the sequential program in the same language, "
                    "in rows of bench_limits against the rival of that row.")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity")
                        else os.cpu_count(), help="default: the CPUs that this process may use")
    parser.add_argument("--rounds", type=int, default=None,
                        help="of measuring (default 7); 0: only the figures of the C programs")
    parser.add_argument("--only", choices=KERNELS, help="only this kernel")
    parser.add_argument("--quick", action="store_true", help="small sizes: a test of this program")
    parser.add_argument("--json", metavar="FILE", type=output_file,
                        help="write {name, size, workers, seconds, baseline_seconds, speedup, quartiles}")
    parser.add_argument("--with", dest="others", metavar="FILE", type=figures_file, action="append", default=[],
                        help="a --json file of a C benchmark, for the same table")
    parser.add_argument("--parpool", metavar="PROGRAM", type=program, action="append", default=[],
                        help="a C benchmark (bench_compare, bench_limits, ...), run for the same table")
    options = parser.parse_args()
    if options.rounds is None:
        options.rounds = 2 if options.quick else 7
    if options.workers < 1 or options.rounds < 0:
        parser.error("--workers is at least 1, --rounds at least 0")
    return options


def main():
    options = parse_arguments()
    figures = measure_all(options)
    own = list(figures)
    for others in options.others:
        figures += others
    for binary in options.parpool:
        figures += run_parpool(binary, options)
    print_table(figures)
    if options.json:
        with options.json as file:
            json.dump(own, file, indent=1)


if __name__ == "__main__":
    main()
