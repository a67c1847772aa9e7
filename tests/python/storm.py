"""An application that changes its schema all the time: reads a number of seconds from a line of stdin, storms for so long,
and answers with the number of statements that worked. Ends with stdin.

storm.py DATABASE OPTIONS       OPTIONS is a JSON object: seed
"""
import json
import random
import sqlite3
import sys
import time

ROWS = 600
SERIES = "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < %d) "


class Storm:
    def __init__(self, path, seed):
        self.chance = random.Random(seed)
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        self.connection.execute("PRAGMA auto_vacuum=2")
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("CREATE TABLE IF NOT EXISTS data(id INTEGER PRIMARY KEY, v, b, g AS (v * 2) STORED)")

    def below(self, bound):
        return self.chance.randrange(bound)

    def statement(self):
        t, u, n = self.below(8), self.below(8), self.below(10**6)
        rows = SERIES % (1 + self.below(200))
        return self.chance.choice([
            f"CREATE TABLE t{t}(a INTEGER PRIMARY KEY, b, c)",
            f"CREATE TABLE t{t} AS SELECT * FROM data",
            f"DROP TABLE t{t}",
            f"CREATE INDEX i{n} ON t{t}(c, b)",
            f"CREATE UNIQUE INDEX u{t} ON t{t}(a) WHERE a > 10",
            f"DROP INDEX u{t}",
            f"ALTER TABLE t{t} ADD COLUMN n{n} TEXT DEFAULT 'q'",
            f"ALTER TABLE t{t} RENAME TO t{u}",
            f"ALTER TABLE t{t} RENAME COLUMN b TO b{n}",
            f"ALTER TABLE t{t} DROP COLUMN c",
            f"CREATE TABLE w{t}(k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID",
            f"INSERT OR REPLACE INTO w{t} {rows} SELECT hex(randomblob(20)), zeroblob(i) FROM s",
            f"DROP TABLE w{t}",
            f"CREATE VIEW v{t} AS SELECT * FROM t{t}",
            f"DROP VIEW v{t}",
            f"CREATE TRIGGER g{t} AFTER INSERT ON data BEGIN SELECT 1; END",
            f"DROP TRIGGER g{t}",
            "CREATE VIRTUAL TABLE ft USING fts5(x)",
            f"INSERT INTO ft {rows} SELECT hex(randomblob(8)) || ' hello ' || i FROM s",
            "DROP TABLE ft",
            "CREATE VIRTUAL TABLE rt USING rtree(id, a, b)",
            f"INSERT INTO rt(a, b) {rows} SELECT i, i + 5 FROM s",
            "DROP TABLE rt",
            # With an end to its growth: all that is written stays in the store.
            f"INSERT INTO data(v, b) {rows} SELECT abs(random()) % 10000, randomblob(abs(random()) % 900) FROM s; "
            f"DELETE FROM data WHERE id < (SELECT max(id) - {ROWS} FROM data)",
            f"DELETE FROM data WHERE id % {2 + self.below(20)} = 0",
            f"UPDATE data SET v = v + 1, b = randomblob(length(b)) WHERE id % {2 + self.below(20)} = 0",
            "VACUUM",
            f"PRAGMA auto_vacuum={1 + self.below(2)}",
            f"PRAGMA auto_vacuum={self.below(3)}; VACUUM",
            f"PRAGMA incremental_vacuum({self.below(60)})",
            "ANALYZE",
            "REINDEX",
            f"PRAGMA user_version={n}",
            f"PRAGMA application_id={n}",
            # A table that has the name through which pages are applied: it must catch none of them.
            f"CREATE TABLE sqlitedbpage{t}(pgno, data, schema); PRAGMA writable_schema=ON; UPDATE sqlite_schema SET "
            f"name='sqlite_dbpage', tbl_name='sqlite_dbpage', sql='CREATE TABLE sqlite_dbpage(pgno, data, schema)' "
            f"WHERE name='sqlitedbpage{t}' AND NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name='sqlite_dbpage'); "
            f"PRAGMA writable_schema=RESET",
        ])

    def run(self, seconds):
        end, done = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            try:
                for statement in self.statement().split("; "):
                    self.connection.execute(statement).fetchall()
                done += 1
            except sqlite3.Error:
                continue
            time.sleep(self.chance.random() * 0.02)
        return done


def main():
    storm = Storm(sys.argv[1], json.loads(sys.argv[2])["seed"])
    print(0, flush=True)
    for line in sys.stdin:
        print(storm.run(float(line)), flush=True)


main()
