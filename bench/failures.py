#!/usr/bin/env python3
"""What happens when ... a worker dies, hangs, or never starts: multiprocessing.Pool and ProcessPoolExecutor.

Needs nothing but python3. Each case runs in a program and a session of its own, with a time limit: eight items on two
workers, one of which meets the failure. The output is a table in Markdown: the outcome of that item, of the other
seven, of an item submitted afterwards and of the end of the pool, and the number of processes left two seconds after
the program ended. Processes of the session that are left are then killed by pid.
"""

import argparse
import ctypes
import json
import multiprocessing
import multiprocessing.pool
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, TimeoutError as FutureTimeoutError

ITEMS, VICTIM, WORKERS = 8, 3, 2
PATIENCE = 4  # seconds until an item that has not ended is said never to end
CASE_LIMIT = 15  # seconds until a program that has not ended is said to hang
AFTERMATH = 2  # seconds after which no process may be left


# ---- Tasks -------------------------------------------------------------------------------------------------------------


def work(item):
    time.sleep(0.1)
    return item * item


def die_by_sigkill(item):
    os.kill(os.getpid(), signal.SIGKILL)


def die_by_segfault(item):
    ctypes.string_at(0)


def die_by_exit(item):
    os._exit(3)


def fail(item):
    raise ValueError("no such thing")


def hang(item):
    while True:
        pass


def allocate(item):
    return len(bytearray(1 << 31))


def leave_child_and_hang(item):
    subprocess.Popen(["sleep", "60"])
    time.sleep(3600)


def limit_memory():
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))


def fail_to_start():
    raise RuntimeError("this worker is not fit")


def be_silent():
    """Drops the tracebacks of workers, which would hide the table."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


# ---- Pools: the same calls on both -------------------------------------------------------------------------------------


class Pool:
    name = "multiprocessing.Pool"

    def __init__(self, initializer):
        self.pool = multiprocessing.Pool(WORKERS, initializer)

    def submit(self, function, item):
        return self.pool.apply_async(function, (item,))

    def wait(self, result, seconds):
        return result.get(seconds)

    def workers(self):
        return [process.pid for process in self.pool._pool]

    def end(self):
        self.pool.close()
        self.pool.join()


class Executor:
    name = "ProcessPoolExecutor"

    def __init__(self, initializer):
        self.executor = ProcessPoolExecutor(WORKERS, initializer=initializer)

    def submit(self, function, item):
        return self.executor.submit(function, item)

    def wait(self, future, seconds):
        return future.result(seconds)

    def workers(self):
        return list(self.executor._processes)

    def end(self):
        self.executor.shutdown()


POOLS = {"pool": Pool, "executor": Executor}


# ---- A case, in its own program ----------------------------------------------------------------------------------------


def tell(**facts):
    """Prints the facts known so far, since the program may never reach its end."""
    print(json.dumps(facts), flush=True)


def outcome(pool, result, deadline):
    try:
        pool.wait(result, max(0.05, deadline - time.monotonic()))
        return "ok"
    except (multiprocessing.TimeoutError, FutureTimeoutError):
        return "never ends"
    except BaseException as error:  # any exception is an outcome
        return type(error).__name__


def try_submit(pool, function, item):
    try:
        return pool.submit(function, item), None
    except BaseException as error:
        return None, type(error).__name__


def tell_outcomes(pool, submitted):
    deadline = time.monotonic() + PATIENCE
    outcomes = [error or outcome(pool, result, deadline) for result, error in submitted]
    tell(victim=outcomes[VICTIM], others=[text for index, text in enumerate(outcomes) if index != VICTIM])
    result, error = try_submit(pool, work, 1)
    tell(after=error or outcome(pool, result, time.monotonic() + PATIENCE / 2))


def run_items(kind, bad, initializer=None, meanwhile=None):
    """Runs eight items, one of them bad; meanwhile() does something to the pool from outside."""
    pool = POOLS[kind](initializer or be_silent)
    submitted = [try_submit(pool, bad if item == VICTIM else work, item) for item in range(ITEMS)]
    if meanwhile:
        time.sleep(0.5)
        meanwhile(pool)
    tell_outcomes(pool, submitted)
    pool.end()
    tell(end="returns")


def run_idle_death(kind, victims):
    """Kills idle workers. A worker of multiprocessing.Pool sleeps in a read or on the lock before it; with all workers
    both cases are covered."""
    pool = POOLS[kind](be_silent)
    for result in [pool.submit(work, item) for item in range(WORKERS)]:
        pool.wait(result, PATIENCE)
    time.sleep(0.3)
    for worker in pool.workers()[:victims]:
        os.kill(worker, signal.SIGKILL)
    time.sleep(0.3)
    tell_outcomes(pool, [try_submit(pool, work, item) for item in range(ITEMS)])
    pool.end()
    tell(end="returns")


def kill_workers(pool):
    for worker in pool.workers():
        os.kill(worker, signal.SIGKILL)


def run_caller_death(kind):
    pool = POOLS[kind](be_silent)
    for item in range(WORKERS):
        pool.submit(hang, item)
    time.sleep(0.5)
    tell(victim="-", others=[], after="-", end="-")
    os.kill(os.getpid(), signal.SIGKILL)


CASES = {
    "a task is killed by SIGKILL": lambda kind: run_items(kind, die_by_sigkill),
    "a task crashes (SIGSEGV)": lambda kind: run_items(kind, die_by_segfault),
    "a task calls _exit(3)": lambda kind: run_items(kind, die_by_exit),
    "a task raises": lambda kind: run_items(kind, fail),
    "a task hangs in an endless loop": lambda kind: run_items(kind, hang),
    "a task runs out of memory (RLIMIT_AS)": lambda kind: run_items(kind, allocate, limit_memory),
    "an idle worker is killed": lambda kind: run_idle_death(kind, 1),
    "all workers are killed while idle": lambda kind: run_idle_death(kind, WORKERS),
    "all workers are killed at once": lambda kind: run_items(kind, hang, meanwhile=kill_workers),
    "the initializer fails in every worker": lambda kind: run_items(kind, work, silent_failure),
    "a worker with a child process is killed": lambda kind: run_items(kind, leave_child_and_hang, meanwhile=kill_workers),
    "the caller is killed by SIGKILL": run_caller_death,
}


def silent_failure():
    be_silent()
    fail_to_start()


# ---- The driver --------------------------------------------------------------------------------------------------------


def session_members(session):
    """Returns the living processes of a session without zombies; None without /proc."""
    if not os.path.exists("/proc/self/stat"):
        return None
    members = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                state, _, _, member_of = file.read().rpartition(")")[2].split()[:4]
        except OSError:
            continue  # it has just ended
        if int(member_of) == session and state != "Z":
            members.append(int(name))
    return members


def kill_all(session):
    """Kills the processes that a case left behind, repeatedly, since a pool may start new workers meanwhile."""
    for _ in range(20):
        members = session_members(session)
        if members is None:
            os.killpg(session, signal.SIGKILL)  # none has left the leader's process group
            return
        if not members:
            return
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)


def run_case(case, kind):
    command = [sys.executable, os.path.abspath(__file__), "--run", case, kind]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    facts = {"victim": "?", "others": [], "after": "?", "end": "hangs"}
    try:
        program.wait(CASE_LIMIT)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
        facts["cut"] = True
    deadline = time.monotonic() + AFTERMATH
    while session_members(program.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = session_members(program.pid)
    facts["left"] = None if left is None else len(left)
    kill_all(program.pid)  # before the read: such processes hold the other end of the pipe
    for line in program.stdout.read().decode().splitlines():
        facts.update(json.loads(line))
    program.stdout.close()
    return facts


def describe_others(others):
    good = others.count("ok")
    if good == len(others):
        return "all others complete"
    bad = {text: others.count(text) for text in others if text != "ok"}
    return f"{good} of {len(others)} others complete, " + ", ".join(f"{count} {text}" for text, count in bad.items())


def describe(facts):
    """Returns a cell of the table."""
    parts = []
    if facts["victim"] != "-":
        parts.append(f"item: {facts['victim']}; {describe_others(facts['others'])}")
        parts.append(f"next item: {facts['after']}")
        parts.append("the end hangs" if facts["end"] == "hangs" else "the end is clean")
    if facts["left"] is not None:
        parts.append(f"{facts['left'] or 'no'} process{'' if facts['left'] == 1 else 'es'} left")
    return "; ".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--run", nargs=2, metavar=("CASE", "POOL"), help=argparse.SUPPRESS)
    parser.add_argument("--only", metavar="TEXT", default="", help="only cases whose name has this in it")
    options = parser.parse_args()
    if options.run:
        CASES[options.run[0]](options.run[1])
        return
    cases = [case for case in CASES if options.only in case]
    print(f"# Python {sys.version.split()[0]}, {ITEMS} items on {WORKERS} workers, one of them hit; "
          f"\"never ends\": not within {PATIENCE} s; \"left\": {AFTERMATH} s after the program's end\n")
    print("| what happens when ... | " + " | ".join(pool.name for pool in POOLS.values()) + " |")
    print("|---|" + "---|" * len(POOLS))
    with ThreadPoolExecutor(4) as drivers:  # the cases mostly wait
        running = {(case, kind): drivers.submit(run_case, case, kind) for case in cases for kind in POOLS}
        for case in cases:
            print(f"| {case} | " + " | ".join(describe(running[case, kind].result()) for kind in POOLS) + " |", flush=True)


if __name__ == "__main__":
    main()
