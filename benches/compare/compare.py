#!/usr/bin/env python3
"""Whole processes beside Kopia: how long, how much processor time, how much memory.

    PACKHORSE_TEST_KOPIA=/usr/bin/kopia benches/compare/compare.py --packhorse target/release/packhorse

Both programs do the same steps on the same data, in turn, each run with a new repository and a new home; what is printed
are medians of the runs. Data is made once in DIR and kept. Needs about 10 GiB there at scale 1.

Peak memory is what the kernel says of the process; it cannot be told below what this script has itself, which the
header names.
"""

import argparse
import filecmp
import json
import os
import platform
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BIG_FILES = 4
BIG_BYTES = 2 << 30
SMALL_FILES = 100_000
FILES_PER_FOLDER = 100
PASSWORD = "compare"


class Program:
    """One of the programs, with one home and one repository."""

    def __init__(self, name, executable, base):
        self.name, self.executable = name, executable
        self.base = base
        self.repository = base / "repository"
        home = base / "home"
        home.mkdir(parents=True)
        self.environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(home),
            "KOPIA_CONFIG_PATH": str(home / "repository.config"),
            "KOPIA_CACHE_DIRECTORY": str(home / "cache"),
            "KOPIA_LOG_DIR": str(home / "logs"),
            "KOPIA_CHECK_FOR_UPDATES": "false",
            "KOPIA_PASSWORD": PASSWORD,
        }

    def run(self, *arguments):
        """Runs a command; returns what it cost and what it printed."""
        # Maintenance is Kopia's alone; who measures it compares different work.
        return measure([self.executable, "--no-progress", "--no-auto-maintenance", *arguments], self.environment)

    def create(self, compression):
        self.run("repository", "create", "filesystem", f"--path={self.repository}")
        if compression:
            self.run("policy", "set", "--global", f"--compression={compression}")

    def snapshot(self, source):
        cost, output = self.run("snapshot", "create", "--json", str(source))
        return cost, json.loads(output)["id"]

    def restore(self, snapshot, target):
        return self.run("restore", snapshot, str(target))[0]

    def verify(self):
        return self.run("snapshot", "verify", "--verify-files-percent=100")[0]

    def restore_slowly(self, slow_store, delay, snapshot, target):
        """Restores from the repository seen through a store that answers late, with an empty cache."""
        point, config = self.base / "slow", self.base / "slow.config"
        point.mkdir()
        mounted = subprocess.Popen([slow_store, str(self.repository), str(point), str(delay)])
        try:
            while not os.path.ismount(point):
                if mounted.poll() is not None:
                    sys.exit(f"{slow_store} did not mount {point}")
                time.sleep(0.05)
            name, cache = "KOPIA_CONFIG_PATH", self.base / "slow-cache"
            usual = dict(self.environment)
            self.environment |= {name: str(config), "KOPIA_CACHE_DIRECTORY": str(cache)}
            self.run("repository", "connect", "filesystem", f"--path={point}")
            shutil.rmtree(cache, ignore_errors=True)
            cost = self.restore(snapshot, target)
            self.environment = usual
            return cost
        finally:
            subprocess.run(["umount", str(point)], check=True)
            mounted.wait()


def measure(command, environment=None):
    """Seconds, processor seconds and peak MiB of a process that must succeed, and its output."""
    # Files, because nobody empties a pipe while waiting.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as talk:
        os.sync()
        began = time.monotonic()
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=talk)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        talk.seek(0)
        if process.returncode != 0:
            message = talk.read().decode(errors="replace")
            sys.exit(f"{' '.join(map(str, command))}: exit status {process.returncode}\n{message}")
        return (seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024), output.read()


def make_big(folder, scale):
    """A few files without any pattern."""
    folder.mkdir(parents=True)
    dice = random.Random(1)
    left_each = int(BIG_BYTES * scale) // BIG_FILES
    for number in range(BIG_FILES):
        with open(folder / f"file{number}", "wb") as file:
            left = left_each
            while left:
                piece = min(left, 1 << 20)
                file.write(dice.randbytes(piece))
                left -= piece


def make_small(folder, scale):
    """Many files of words, most of them short: about 2 KiB on average."""
    dice = random.Random(2)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(dice.choices(letters, k=dice.randint(3, 9))) for _ in range(3000)]
    text = " ".join(dice.choices(words, k=400_000)).encode()
    for number in range(int(SMALL_FILES * scale)):
        if number % FILES_PER_FOLDER == 0:
            below = folder / f"d{number // FILES_PER_FOLDER // 100}" / f"e{number // FILES_PER_FOLDER}"
            below.mkdir(parents=True)
        length = int(min(200_000, dice.paretovariate(1.2) * 400))
        start = dice.randrange(len(text) - length)
        (below / f"f{number}.txt").write_bytes(text[start:start + length])


def make(base, scale):
    """The two trees, made in a process of their own so that this one stays small."""
    folders = base / f"data-{scale:g}"
    for name, maker in (("big", make_big), ("small", make_small)):
        done = folders / f"{name}.done"
        if done.exists():
            continue
        child = os.fork()
        if child == 0:
            shutil.rmtree(folders / name, ignore_errors=True)
            maker(folders / name, scale)
            done.touch()
            os._exit(0)
        if os.wait4(child, 0)[1] != 0:
            sys.exit(f"cannot make {folders / name}")
    return folders / "big", folders / "small"


def differs(left, right):
    """The first path at which two trees do not hold the same bytes."""
    for folder, _, names in os.walk(left):
        other = right / Path(folder).relative_to(left)
        _, mismatch, errors = filecmp.cmpfiles(folder, other, names, shallow=False)
        if mismatch or errors:
            return os.path.join(folder, (mismatch + errors)[0])
    return None


class Results:
    """What each step cost each program, run by run."""

    def __init__(self):
        self.costs = {}

    def add(self, step, program, cost):
        self.costs.setdefault(step, {}).setdefault(program, []).append(cost)
        print(f"{step}: {program} {cost[0]:.2f} s, {cost[2]:.0f} MiB", file=sys.stderr, flush=True)

    def median(self, step, program, what):
        return statistics.median(cost[what] for cost in self.costs[step][program])

    def table(self):
        lines = [
            "| step | Packhorse s | Kopia s | ratio | Packhorse CPU s | Kopia CPU s | Packhorse MiB | Kopia MiB | ratio |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for step, programs in self.costs.items():
            if "cp" in programs:
                lines.append(f"| {step} | {self.median(step, 'cp', 0):.2f} | | | | | | | |")
                continue
            ours, theirs = ([self.median(step, name, what) for what in range(3)] for name in ("packhorse", "kopia"))
            lines.append(
                f"| {step} | {ours[0]:.2f} | {theirs[0]:.2f} | {theirs[0] / ours[0]:.2f} "
                f"| {ours[1]:.2f} | {theirs[1]:.2f} | {ours[2]:.0f} | {theirs[2]:.0f} | {theirs[2] / ours[2]:.2f} |")
        return "\n".join(lines)


def one_run(number, programs, trees, scratch, results, slow_store, delay):
    """All steps, once for each program; the programs take turns in going first."""
    big, small = trees
    order = programs if number % 2 == 0 else programs[::-1]
    bytes_text, files_text = f"{tree_bytes(big) / (1 << 30):.3g} GiB in {BIG_FILES} files", f"{tree_files(small):,} files"
    for tree, name, compression in ((big, bytes_text, None), (small, files_text, "zstd-fastest")):
        done = [Program(program, path, scratch / program / tree.name) for program, path in order]
        for program in done:
            program.create(compression)
        snapshots = {}
        with_compression = f", {compression}" if compression else ""
        for program in done:
            cost, snapshots[program.name] = program.snapshot(tree)
            results.add(f"first backup, {name}{with_compression}", program.name, cost)
        if tree is small:
            for program in done:
                results.add(f"unchanged, {name}", program.name, program.snapshot(tree)[0])
        for program in done:
            target = program.base / "restored"
            results.add(f"restore, {name}", program.name, program.restore(snapshots[program.name], target))
            if number == 0 and (path := differs(tree, target)):
                sys.exit(f"{program.name} did not restore {path}")
            results.add(f"restore over it, {name}", program.name, program.restore(snapshots[program.name], target))
            shutil.rmtree(target)
        if slow_store and tree is big:
            for program in done:
                target = program.base / "restored"
                cost = program.restore_slowly(slow_store, delay, snapshots[program.name], target)
                results.add(f"restore, {name}, {delay} ms a request", program.name, cost)
                shutil.rmtree(target)
        for program in done:
            results.add(f"verify all bytes, {name}", program.name, program.verify())
        copy = scratch / "copy"
        results.add(f"`cp -a`, {name}", "cp", measure(["cp", "-a", str(tree), str(copy)])[0])
        shutil.rmtree(copy)
    shutil.rmtree(scratch)


def tree_files(folder):
    return sum(len(names) for _, _, names in os.walk(folder))


def tree_bytes(folder):
    return sum(os.path.getsize(os.path.join(path, name)) for path, _, names in os.walk(folder) for name in names)


def first_line(command):
    """What a program says of itself, or nothing."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def processor():
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def header(arguments, kopia):
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    here = str(Path(__file__).resolve().parent)
    floor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return "\n".join([
        f"- machine: {processor()}, {os.cpu_count()} processors, {memory:.0f} GiB, Linux {platform.release()}",
        f"- commit: {first_line(['git', '-C', here, 'describe', '--always', '--dirty'])}",
        f"- Packhorse: {first_line([arguments.packhorse, '--version'])}",
        f"- Kopia: {first_line([kopia, '--version'])}",
        f"- scale {arguments.scale:g}, medians of {arguments.runs} runs, programs in turn, source in the page cache",
        f"- ratio: Kopia ÷ Packhorse; peak memory is at least {floor:.0f} MiB for what runs under this script",
    ])


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packhorse", default="target/release/packhorse", help="the executable")
    parser.add_argument("--dir", default="/tmp/packhorse-compare", help="where data and repositories are made")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the data, such as 0.05")
    parser.add_argument("--runs", type=int, default=3, help="how often everything is done")
    parser.add_argument("--slow-store", help="the executable of `cargo bench --bench slow_store --no-run`; needs root")
    parser.add_argument("--delay", type=int, default=30, help="milliseconds that a request takes there")
    return parser.parse_args()


def programs_named(arguments):
    """Names and executables of both programs."""
    kopia = os.environ.get("PACKHORSE_TEST_KOPIA")
    if not kopia:
        sys.exit("PACKHORSE_TEST_KOPIA names no kopia")
    return [("packhorse", os.path.abspath(arguments.packhorse)), ("kopia", kopia)]


def main():
    arguments = parse_arguments()
    programs = programs_named(arguments)
    base = Path(arguments.dir)
    trees = make(base, arguments.scale)
    results = Results()
    scratch = base / "run"
    for number in range(arguments.runs):
        shutil.rmtree(scratch, ignore_errors=True)
        one_run(number, programs, trees, scratch, results, arguments.slow_store, arguments.delay)
    print(header(arguments, programs[1][1]))
    print()
    print(results.table())


if __name__ == "__main__":
    main()
