"""Power cuts, from a trace of the system calls of a process (strace -f -y -xx): what may be on the disk afterwards.

power.py TRACE FOLDER OUT OPTIONS       writes states of FOLDER after cuts at random moments to OUT/0, OUT/1, ... and keeps
                                        every keep_each-th of them

The model: a write or truncation counts for certain once the file was synced; until then any subset of them may have
arrived, each write in any subset of its 512-byte sectors. Names (created, linked, renamed, removed) arrive in their order, and for
certain once their folder was synced. Shared memory (-shm) is lost. FOLDER was empty when the trace began.
Every state is then opened by SQLite: a database that is there is sound and keeps the invariants of ledger.py.
"""
import json
import pathlib
import random
import re
import shutil
import sqlite3
import sys

OPTIONS = {"seed": 1, "states": 100, "keep_each": 1}
SECTOR = 512
LINE = re.compile(r"^(\d+)\s+(?:<\.\.\. )?(\w+)(?:\(| resumed>)(.*)$")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
FILE = re.compile(r"^\d+<((?:\\x[0-9a-f]{2})+)>")


def unhex(text):
    return bytes.fromhex(text.replace("\\x", ""))


class Calls:
    """(call, path, texts, numbers) of each successful call; a sync counts when it returns, all others when they begin."""

    def __init__(self, trace):
        self.trace, self.running = trace, {}

    def __iter__(self):
        for line in self.trace:
            found = LINE.match(line)
            if found is None:
                continue
            process, call, rest = found.groups()
            if "resumed>" in line[:60]:
                began = self.running.pop(process, None)
                if began and began[0] in ("fsync", "fdatasync") and rest.rstrip().endswith("= 0"):
                    yield began
            elif rest.rstrip().endswith("<unfinished ...>"):
                self.running[process] = self.parse(call, rest)
                if call not in ("fsync", "fdatasync"):
                    yield self.parse(call, rest)
            elif " = -1 " not in line[-200:]:
                yield self.parse(call, rest)

    def parse(self, call, rest):
        texts = [unhex(text) for text in TEXT.findall(rest)]
        file = FILE.match(rest)
        tail = rest[rest.rfind('"') + 1 :]
        numbers = [int(number) for number in re.findall(r", (\d+)(?=[,) ])", tail)]
        return call, unhex(file.group(1)).decode() if file else None, texts, numbers, rest


class Inode:
    def __init__(self):
        self.durable, self.pending = b"", []

    def sync(self):
        for change in self.pending:
            self.durable = apply(self.durable, change)
        self.pending = []

    def after_cut(self, chance):
        content, share = self.durable, chance.choice((0.0, 0.2, 0.5, 0.8, 1.0))
        if chance.random() < 0.5:
            # In order, up to some moment, as a disk would without a reason to do otherwise.
            for change in self.pending[: chance.randrange(len(self.pending) + 1)]:
                content = apply(content, change)
            return content
        for change in self.pending:
            if chance.random() < share:
                content = apply(content, change if chance.random() < 0.7 else tear(change, chance))
        return content


def apply(content, change):
    offset, data = change
    if data is None:
        return content[:offset] + bytes(max(0, offset - len(content)))
    content += bytes(max(0, offset - len(content)))
    return content[:offset] + data + content[offset + len(data) :]


def tear(change, chance):
    """The sectors up to a random one, as of a write that was cut off."""
    offset, data = change
    return change if data is None else (offset, data[: SECTOR * chance.randrange(len(data) // SECTOR + 1)])


class Disk:
    def __init__(self, folder):
        self.folder = folder
        self.names, self.durable_names, self.pending_names = {}, {}, []

    def inode(self, path):
        if self.names.get(path) is None:
            self.rename(path, Inode())
        return self.names[path]

    def rename(self, path, inode):
        """Gives a path to an inode, or to none."""
        self.names[path] = inode
        self.pending_names.append((path, inode))

    def take(self, call, path, texts, numbers, rest):
        mine = lambda name: name is not None and name.startswith(self.folder) and not name.endswith("-shm")
        first = texts[0].decode() if texts and call in ("openat", "rename", "renameat", "linkat", "unlink") else None
        if call == "openat" and mine(first) and "O_CREAT" in rest:
            if "O_TRUNC" in rest:
                self.inode(first).pending.append((0, None))
            self.inode(first)
        elif call in ("rename", "renameat") and mine(first):
            inode = self.names.get(first)
            self.rename(texts[1].decode(), inode)
            self.rename(first, None)
        elif call == "linkat" and mine(first):
            self.rename(texts[1].decode(), self.names.get(first))
        elif call == "unlink" and mine(first):
            self.rename(first, None)
        elif not mine(path):
            return
        elif call == "pwrite64":
            self.inode(path).pending.append((numbers[-1], texts[0]))
        elif call == "write":
            inode = self.inode(path)
            end = sum(len(data) for _, data in inode.pending if data is not None)
            inode.pending.append((end, texts[0]))
        elif call == "ftruncate":
            self.inode(path).pending.append((numbers[-1], None))
        elif call in ("fsync", "fdatasync"):
            self.sync(path)

    def sync(self, path):
        if self.names.get(path) is not None:
            self.names[path].sync()
        for name, inode in [each for each in self.pending_names if each[0].rsplit("/", 1)[0] == path]:
            self.durable_names[name] = inode
            self.pending_names.remove((name, inode))

    def after_cut(self, chance):
        names = dict(self.durable_names)
        for name, inode in self.pending_names[: chance.randrange(len(self.pending_names) + 1)]:
            names[name] = inode
        return {name: inode.after_cut(chance) for name, inode in names.items() if inode is not None}


def judge(database):
    """The count of commits of a database, None where there is none."""
    if not database.exists() or not database.stat().st_size:
        return None
    connection = sqlite3.connect(database, timeout=5)
    try:
        sound = connection.execute("PRAGMA integrity_check").fetchall()
        total = connection.execute("SELECT sum(amount) FROM bank").fetchone()[0]
        low, high, rows = connection.execute("SELECT min(n), max(n), count(*) FROM wide").fetchone()
        tally = connection.execute("SELECT n FROM tally").fetchone()[0]
    finally:
        connection.close()
    if (sound, total, low, high, rows) != ([("ok",)], 100_000, tally, tally, 160):
        sys.exit(f"{database}: {sound[:3]}, {total} in the bank, {rows} rows from {low} to {high}, {tally} commits")
    return tally


def write(state, folder, target):
    for name, content in state.items():
        path = target / pathlib.Path(name).relative_to(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def main():
    trace, folder, out, options = sys.argv[1:5]
    options = OPTIONS | json.loads(options)
    chance = random.Random(options["seed"])
    with open(trace) as lines:
        calls = [call for call in Calls(lines) if call[1] or call[2]]
    changes = [index for index, call in enumerate(calls) if any(folder in str(each) for each in call[1:3])]
    cuts = sorted(chance.choice(changes) for _ in range(options["states"]))
    disk, commits, number = Disk(folder), [], 0
    for index, call in enumerate(calls):
        while number < len(cuts) and cuts[number] == index:
            target = pathlib.Path(out, str(number))
            write(disk.after_cut(chance), folder, target)
            # A copy is opened: recovery changes files, and the follower is to meet them as they were left.
            shutil.copytree(target, pathlib.Path(out, "opened")) if target.exists() else None
            for database in pathlib.Path(out, "opened").glob("databases/*.db"):
                commits.append(judge(database))
            shutil.rmtree(pathlib.Path(out, "opened"), ignore_errors=True)
            if number % options["keep_each"]:
                shutil.rmtree(target, ignore_errors=True)
            number += 1
        disk.take(*call)
    found = [each for each in commits if each is not None]
    print(json.dumps({"states": number, "databases": len(found), "commits": sorted(set(found))}))


main()
