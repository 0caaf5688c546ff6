#!/usr/bin/env python3
"""What an hourly mover meets beside Kopia: very many files, one changed byte, nothing changed, many index blobs.

    PACKHORSE_TEST_KOPIA=/usr/bin/kopia benches/compare/engine.py --packhorse target/release/packhorse

Data is made once in DIR and kept. Needs about 40 GiB and 4 million inodes there at scale 1, and a quarter of an hour.
"""

import os
import random
import shutil
from pathlib import Path

from compare import Program, Results, header, parse_arguments, programs_named

MANY_FILES = 1_000_000
BIG_BYTES = 10 << 30
INDEX_BLOBS = 500
CONTENTS_PER_BLOB = 200


def write_files(folder, first, count, dice):
    folder.mkdir(parents=True)
    for number in range(first, first + count):
        with open(folder / f"file{number:07}.txt", "wb", buffering=0) as file:
            file.write(b"%012d" % number + dice.randbytes(88))


def make_many(folder, scale):
    """Files of 100 bytes, ten in each folder."""
    dice = random.Random(3)
    for number in range(int(MANY_FILES * scale) // 10):
        write_files(folder / f"d{number // 1000}" / f"e{number // 10 % 100}" / f"f{number % 10}", number * 10, 10, dice)


def make_flat(folder, scale):
    """As many in one folder."""
    write_files(folder, 0, int(MANY_FILES * scale), random.Random(4))


def make_big(folder, scale):
    """One file without any pattern."""
    folder.mkdir(parents=True)
    dice = random.Random(5)
    with open(folder / "big.img", "wb") as file:
        for _ in range(int(BIG_BYTES * scale) >> 20):
            file.write(dice.randbytes(1 << 20))


def make_parts(folder, scale):
    """Folders that are saved one by one, so that each run leaves an index blob."""
    dice = random.Random(6)
    for number in range(int(INDEX_BLOBS * scale)):
        write_files(folder / f"part{number:03}", 0, CONTENTS_PER_BLOB, dice)


def make(base, scale):
    folders = base / f"data-{scale:g}"
    for name, maker in (("many", make_many), ("flat", make_flat), ("big", make_big), ("parts", make_parts)):
        if not (folders / f"{name}.done").exists():
            shutil.rmtree(folders / name, ignore_errors=True)
            maker(folders / name, scale)
            (folders / f"{name}.done").touch()
    return folders


def warm(source):
    """Reads everything once: else whoever comes first would pay for the disk."""
    for folder, _, names in os.walk(source):
        for name in names:
            with open(os.path.join(folder, name), "rb", buffering=0) as file:
                while file.read(8 << 20):
                    pass


def programs_for(programs, scratch, name):
    done = [Program(program, path, scratch / program / name) for program, path in programs]
    for program in done:
        program.create(None)
    return done


def first_and_unchanged(programs, scratch, results, source, name):
    done = programs_for(programs, scratch, source.name)
    warm(source)
    for step in ("first backup", "unchanged"):
        for program in done:
            results.add(f"{step}, {name}", program.name, program.snapshot(source)[0])


def one_changed_byte(programs, scratch, results, source):
    done = programs_for(programs, scratch, source.name)
    warm(source)
    file = source / "big.img"
    name = f"{file.stat().st_size / (1 << 30):.3g} GiB in one file"
    for program in done:
        results.add(f"first backup, {name}", program.name, program.snapshot(source)[0])
    with open(file, "r+b", buffering=0) as image:
        middle = file.stat().st_size // 2
        image.seek(middle)
        byte = image.read(1)[0]
        image.seek(middle)
        image.write(bytes([byte ^ 1]))
    for program in done:
        results.add(f"one changed byte, {name}", program.name, program.snapshot(source)[0])


def many_index_blobs(programs, scratch, results, source):
    """One repository for both, written by the first: what is measured is a run that finds nothing to do."""
    writer, *others = [Program(program, path, scratch / program / source.name) for program, path in programs]
    writer.create(None)
    parts = sorted(source.iterdir())
    for part in parts:
        writer.snapshot(part)
    for other in others:
        other.run("repository", "connect", "filesystem", f"--path={writer.repository}")
    for program in (writer, *others):
        shutil.rmtree(program.base / "home" / "cache", ignore_errors=True)
        cost = program.snapshot(parts[len(parts) // 2])[0]
        results.add(f"unchanged, {CONTENTS_PER_BLOB} files, {len(parts)} index blobs", program.name, cost)


def main():
    arguments = parse_arguments()
    programs = programs_named(arguments)
    base = Path(arguments.dir)
    data = make(base, arguments.scale)
    count = f"{int(MANY_FILES * arguments.scale):,} files"
    results = Results()
    scratch = base / "run"
    for _ in range(arguments.runs):
        shutil.rmtree(scratch, ignore_errors=True)
        first_and_unchanged(programs, scratch, results, data / "many", f"{count}, ten in a folder")
        first_and_unchanged(programs, scratch, results, data / "flat", f"{count} in one folder")
        one_changed_byte(programs, scratch, results, data / "big")
        many_index_blobs(programs, scratch, results, data / "parts")
        shutil.rmtree(scratch)
    print(header(arguments, programs[1][1]))
    print()
    print(results.table())


if __name__ == "__main__":
    main()
