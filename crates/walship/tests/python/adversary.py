"""An application that does everything to its WAL: adversary.py DATABASE SEED ROLE, until it is killed.

ROLE writer: random transactions, spills, rollbacks, DDL, VACUUM, auto_vacuum; reconnects now and then.
ROLE checkpointer: checkpoints of every mode, with and without a timeout.
"""
import os
import random
import sqlite3
import sys
import time

path, seed, role = sys.argv[1], int(sys.argv[2]), sys.argv[3]
rng = random.Random(seed)


def connect():
    db = sqlite3.connect(path, timeout=10, isolation_level=None)
    db.execute("PRAGMA synchronous=%s" % rng.choice(["OFF", "NORMAL", "NORMAL", "FULL"]))
    db.execute("PRAGMA cache_size=%d" % rng.choice([5, 10, 2000]))
    db.execute("PRAGMA wal_autocheckpoint=%d" % rng.choice([0, 1, 50, 1000]))
    return db


def spill(db):
    db.execute("PRAGMA cache_size=5")
    db.execute("BEGIN IMMEDIATE")
    for i in range(rng.randint(50, 400)):
        db.execute("INSERT INTO t(v, b) VALUES(?, randomblob(?))", (i, rng.randint(100, 6000)))
        if i % 40 == 0:
            db.execute("UPDATE t SET v = v + 1 WHERE id % 13 = ?", (rng.randint(0, 12),))
    db.execute(rng.choice(["ROLLBACK", "COMMIT"]))


def schema(db):
    n = rng.randint(0, 4)
    db.execute("CREATE TABLE IF NOT EXISTS x%d(a, b)" % n)
    db.execute("INSERT INTO x%d VALUES(1, randomblob(5000))" % n)
    db.execute("CREATE INDEX IF NOT EXISTS ix%d ON t(v)" % rng.randint(0, 2))
    if rng.random() < 0.5:
        db.execute("DROP TABLE IF EXISTS x%d" % rng.randint(0, 4))
        db.execute("DROP INDEX IF EXISTS ix%d" % rng.randint(0, 2))


def shrink(db):
    db.execute("DELETE FROM t WHERE id % 3 = 0")
    db.execute("PRAGMA incremental_vacuum(50)")
    if rng.random() < 0.3:
        db.execute("PRAGMA auto_vacuum=%d" % rng.choice([0, 1, 2]))
        db.execute("VACUUM")


def insert(db):
    db.execute("INSERT INTO t(v, b) VALUES(?, ?)", (rng.random(), os.urandom(rng.randint(10, 3000))))


def update(db):
    db.execute("UPDATE t SET v = v + 1, b = randomblob(200) WHERE id % 97 = ?", (rng.randint(0, 96),))


def delete(db):
    db.execute("DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY random() LIMIT ?)", (rng.randint(1, 60),))


def trim(db):
    if db.execute("SELECT count(*) FROM t").fetchone()[0] > 4000:
        db.execute("DELETE FROM t WHERE id % 4 <> 0")


ACTS = [(insert, 50), (update, 14), (delete, 12), (spill, 6), (schema, 5), (shrink, 3), (trim, 5)]


def write():
    db = connect()
    while True:
        try:
            if rng.random() < 0.03:
                db.close()
                db = connect()
            act = rng.choices([a for a, _ in ACTS], [w for _, w in ACTS])[0]
            act(db)
            time.sleep(rng.random() * 0.003)
        except sqlite3.OperationalError:
            if db.in_transaction:
                db.execute("ROLLBACK")


def checkpoint():
    while True:
        db = sqlite3.connect(path, timeout=rng.choice([0, 0.05, 1]), isolation_level=None)
        for _ in range(rng.randint(1, 40)):
            try:
                db.execute("PRAGMA wal_checkpoint(%s)" % rng.choice(["PASSIVE", "FULL", "RESTART", "TRUNCATE"]))
            except sqlite3.OperationalError:
                pass
            time.sleep(0.1 * rng.random())
        db.close()


checkpoint() if role == "checkpointer" else write()
