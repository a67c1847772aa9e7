"""Compares databases as SQLite shows them, page by page. It shares nothing with the programs under test.

oracle.py compare SOURCE COPY     exit code 0 if both are sound and equal
oracle.py compare-damaged ...     the same for databases that SQLite finds damaged, both in the same way
oracle.py dump SOURCE FILE        writes what a reader of SOURCE sees now
"""
import sqlite3
import sys
from pathlib import Path

# Bytes of page 1 that SQLite rewrites by itself: journal mode, change counter and size, version-valid-for.
MASKED = ((18, 20), (24, 32), (92, 100))
LOCK_BYTE = 1 << 30


def connect(path, is_copy):
    mode = "mode=ro&immutable=1" if is_copy else "mode=rw"
    connection = sqlite3.connect(f"{Path(path).absolute().as_uri()}?{mode}", uri=True, timeout=20)
    connection.execute("PRAGMA writable_schema=ON")
    return connection


def image(path, is_copy=False):
    connection = connect(path, is_copy)
    try:
        return connection.serialize()
    finally:
        connection.close()


def soundness(path, is_copy):
    connection = connect(path, is_copy)
    try:
        return connection.execute("PRAGMA integrity_check").fetchall()
    except sqlite3.DatabaseError as error:
        return [(f"cannot be checked: {error}",)]
    finally:
        connection.close()


def page_size(content):
    size = int.from_bytes(content[16:18], "big")
    return 65536 if size == 1 else size


def pages(content):
    size = page_size(content)
    for number, start in enumerate(range(0, len(content), size), 1):
        page = bytearray(content[start : start + size])
        if number == 1:
            for first, end in MASKED:
                page[first:end] = bytes(end - first)
        if start != LOCK_BYTE:
            yield number, bytes(page)


def compare(source, copy, may_be_damaged):
    wrong = []
    one, other = image(source), image(copy, True)
    if (page_size(one), len(one)) != (page_size(other), len(other)):
        wrong.append(f"{len(one)} bytes in pages of {page_size(one)}, {len(other)} in pages of {page_size(other)}")
    differing = [number for (number, a), (_, b) in zip(pages(one), pages(other)) if a != b]
    if differing:
        wrong.append(f"{len(differing)} pages differ, first: {differing[:10]}")
    checks = soundness(source, False), soundness(copy, True)
    if checks[0] != checks[1]:
        wrong.append(f"integrity_check: {checks[0][:5]} and {checks[1][:5]}")
    if checks[0] != [("ok",)] and not may_be_damaged:
        wrong.append(f"integrity_check: {checks[0][:5]}")
    print("\n".join(wrong) or "equal")
    return not wrong


def main():
    command, one, other = sys.argv[1:4]
    if command == "dump":
        Path(other).write_bytes(image(one))
    elif not compare(one, other, command == "compare-damaged"):
        sys.exit(1)


main()
