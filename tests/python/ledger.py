"""An application whose commits keep invariants, and readers that judge a copy of its database by them.

ledger.py write DATABASE OPTIONS    writes until stdin ends; prints "ready" once, and a report at the end
ledger.py read DATABASE OPTIONS     reads until stdin ends. A number on a line of stdin: answers "seen NUMBER" as soon as
                                    so many commits were seen. Prints a report at the end, or when something is wrong.
                                    It waits for no lock: each one that it meets is counted as "busy", and tried again
OPTIONS is a JSON object, see WRITING and READING.
"""
import json
import os
import random
import select
import sqlite3
import sys
import time

import sqlites

WRITING = {
    "rate": 0,  # commits a second; 0 = as many as possible
    "commits": 0,  # ends after so many; 0 = when stdin ends
    "seed": 1,
    "page_size": 4096,
    "turmoil": False,  # VACUUM, checkpoints, DDL, rollbacks and large rows now and then
    "bytes": 200,  # of a row that each commit adds
    "keep": 400,  # rows that are kept
    "synchronous": "NORMAL",
}
READING = {
    "kind": "fresh",
    "hold": 1.0,  # seconds of a long transaction
    "sqlite": "python3",  # which SQLite reads, see sqlites.py
    "pause": 0.001,  # seconds between two reads: readers that never rest would leave no time to those who write
}
ACCOUNTS, AMOUNT, WIDE = 100, 1000, 160
SCHEMA = """
CREATE TABLE IF NOT EXISTS bank(id INTEGER PRIMARY KEY, amount INTEGER);
CREATE TABLE IF NOT EXISTS wide(id INTEGER PRIMARY KEY, n INTEGER, filling TEXT);
CREATE TABLE IF NOT EXISTS tally(n INTEGER);
CREATE TABLE IF NOT EXISTS load(id INTEGER PRIMARY KEY, content BLOB);
"""


def told():
    """A line of stdin if there is one, "" at its end, else None."""
    if not select.select([sys.stdin], [], [], 0)[0]:
        return None
    return os.read(0, 4096).decode()


class Writer:
    def __init__(self, path, options):
        self.options, self.chance = options, random.Random(options["seed"])
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        sql = self.connection.execute
        sql(f"PRAGMA page_size={options['page_size']}")
        sql("PRAGMA journal_mode=WAL")
        sql(f"PRAGMA synchronous={options['synchronous']}")
        sql("BEGIN IMMEDIATE")
        for statement in SCHEMA.split(";"):
            sql(statement)
        if not sql("SELECT 1 FROM tally").fetchone():
            self.connection.executemany("INSERT INTO bank VALUES (?, ?)", [(n, AMOUNT) for n in range(ACCOUNTS)])
            rows = [(n, "-" * (n * 7 % 300)) for n in range(WIDE)]
            self.connection.executemany("INSERT INTO wide VALUES (?, 0, ?)", rows)
            sql("INSERT INTO tally VALUES (0)")
        sql("COMMIT")
        self.commits = sql("SELECT n FROM tally").fetchone()[0]

    def change(self):
        sql, chance = self.connection.execute, self.chance
        one, other = chance.sample(range(ACCOUNTS), 2)
        amount = chance.randrange(100)
        sql("UPDATE bank SET amount = amount - ? WHERE id = ?", (amount, one))
        sql("UPDATE bank SET amount = amount + ? WHERE id = ?", (amount, other))
        sql("UPDATE wide SET n = ?", (self.commits + 1,))
        sql("UPDATE tally SET n = ?", (self.commits + 1,))
        content = chance.randbytes(self.options["bytes"])
        sql("INSERT OR REPLACE INTO load VALUES (?, ?)", (chance.randrange(self.options["keep"]), content))

    def commit(self):
        sql = self.connection.execute
        sql("BEGIN IMMEDIATE")
        self.change()
        if self.options["turmoil"] and self.chance.random() < 0.05:
            sql("ROLLBACK")
            return
        sql("COMMIT")
        self.commits += 1

    def disturb(self):
        sql, number = self.connection.execute, self.chance.randrange(6)
        kind = self.chance.randrange(9)
        table = f"extra{number}"
        if kind == 0:
            sql("VACUUM")
        elif kind <= 2:
            mode = self.chance.choice(("PASSIVE", "FULL", "RESTART", "TRUNCATE"))
            sql("PRAGMA busy_timeout=20")
            sql(f"PRAGMA wal_checkpoint({mode})").fetchall()
            sql("PRAGMA busy_timeout=30000")
        elif kind <= 4:
            sql(f"CREATE TABLE IF NOT EXISTS {table}(a PRIMARY KEY, b) WITHOUT ROWID")
            sql(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", (number, self.chance.randbytes(9000)))
        elif kind == 5:
            sql(f"DROP TABLE IF EXISTS {table}")
        elif kind == 6:
            sql("DELETE FROM load")
        elif kind == 7:
            sql(f"CREATE INDEX IF NOT EXISTS load{number} ON load(length(content))")
            sql(f"DROP INDEX IF EXISTS load{(number + 5) % 6}")
        else:
            sql("INSERT OR REPLACE INTO load VALUES (-1, zeroblob(?))", (self.chance.randrange(600_000),))

    def run(self):
        waits, due, end = [], time.monotonic(), self.commits + self.options["commits"]
        print("ready", flush=True)
        while told() != "" and not (self.options["commits"] and self.commits >= end):
            began = time.monotonic()
            self.commit()
            waits.append(time.monotonic() - began)
            if self.options["turmoil"] and self.chance.random() < 0.08:
                self.disturb()
            if self.options["rate"]:
                due = max(due + 1 / self.options["rate"], began)
                time.sleep(max(0, due - time.monotonic()))
        self.connection.close()
        longest = round(max(waits, default=0) * 1000, 1)
        print(json.dumps({"commits": self.commits, "longest_ms": longest}), flush=True)


class Wrong(Exception):
    pass


class Reader:
    def __init__(self, path, options):
        self.path, self.options = path, options
        self.connection, self.seen, self.wanted = None, -1, None
        self.report = {"kind": options["kind"], "reads": 0, "states": 0, "busy": 0, "absent": 0}
        self.changed, self.stillest, self.slowest = time.monotonic(), 0.0, 0.0

    def connect(self):
        connection = sqlites.connect(self.options["sqlite"], self.path)
        if "sqlite" not in self.report:
            self.report["sqlite"] = connection.execute("SELECT sqlite_version()").fetchone()[0]
        if self.options["kind"] == "warm":
            connection.execute("PRAGMA cache_size=-65536")
        return connection

    def look(self):
        """What one transaction shows, or Wrong."""
        sql = self.connection.execute
        total = sql("SELECT sum(amount), count(*) FROM bank").fetchone()
        low, high, rows = sql("SELECT min(n), max(n), count(*) FROM wide").fetchone()
        tally = sql("SELECT n FROM tally").fetchone()[0]
        if total != (ACCOUNTS * AMOUNT, ACCOUNTS):
            raise Wrong(f"the bank holds {total}")
        if (low, high, rows) != (tally, tally, WIDE):
            raise Wrong(f"torn: {rows} rows from {low} to {high}, {tally} commits")
        return tally

    def transaction(self):
        if self.connection is None:
            self.connection = self.connect()
        self.connection.execute("BEGIN")
        commits = self.look()
        if self.options["kind"] == "long":
            self.hold(commits)
        self.connection.execute("COMMIT")
        return commits

    def hold(self, commits):
        end = time.monotonic() + self.options["hold"]
        while time.monotonic() < end:
            if self.listen():
                break
            again = self.look()
            if again != commits:
                raise Wrong(f"a transaction saw {commits} commits, then {again}")
            self.report["reads"] += 1
            self.answer(commits)
            time.sleep(self.options["pause"])

    def read(self):
        began = time.monotonic()
        try:
            commits = self.transaction()
        except sqlite3.OperationalError as error:
            return self.excuse(str(error))
        if self.options["kind"] == "fresh":
            self.disconnect()
        self.take(commits, began)

    def take(self, commits, began):
        now = time.monotonic()
        if self.options["kind"] != "long":
            self.slowest = max(self.slowest, now - began)
        if commits < self.seen:
            raise Wrong(f"it went back from {self.seen} commits to {commits}")
        if commits > self.seen:
            self.report["states"] += 1
            self.stillest = max(self.stillest, now - self.changed)
            self.changed = now
        self.seen = commits
        self.report["reads"] += 1

    def excuse(self, error):
        """Whether an error may happen: a lock that somebody holds, or no content yet."""
        self.disconnect()
        if "locked" in error:
            self.report["busy"] += 1
            time.sleep(0.01)
        elif self.seen < 0 and ("unable to open" in error or "no such table" in error):
            self.report["absent"] += 1
            time.sleep(0.01)
        else:
            raise Wrong(error)

    def disconnect(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def listen(self):
        """True once stdin has ended."""
        line = told()
        if line == "":
            return True
        if line:
            self.wanted = int(line)
        return False

    def answer(self, commits):
        if self.wanted is not None and commits >= self.wanted:
            print(f"seen {self.wanted}", flush=True)
            self.wanted = None

    def run(self):
        while not self.listen():
            try:
                self.read()
            except (Wrong, sqlite3.Error) as error:
                self.report["wrong"] = f"{type(error).__name__}: {error}"
                break
            self.answer(self.seen)
            time.sleep(self.options["pause"])
        figures = {"commits": self.seen, "stillest_ms": round(self.stillest * 1000), "slowest_ms": round(self.slowest * 1000)}
        print(json.dumps(self.report | figures), flush=True)


def main():
    role, path, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    if role == "write":
        Writer(path, WRITING | options).run()
    else:
        Reader(path, READING | options).run()


main()
