"""Writers and checkpointers on one database, in processes of their own, until stdin is closed (or for `seconds`).

load.py DATABASE OPTIONS        OPTIONS is a JSON object, see DEFAULTS
Prints "ready", and at the end one JSON object: transactions, errors, waits in milliseconds, how many waits were longer
than LONG, and the longest time in which all writers waited so long at once.
Writers keep an invariant: table `bank` has a constant sum.
"""
import json
import multiprocessing
import random
import select
import sqlite3
import sys
import time

DEFAULTS = {
    "writers": 1,
    "rate": 0,  # transactions a second of one writer; 0 = as many as possible
    "checkpoint_ms": 0,  # distance of checkpoints of random modes; 0 = none
    "seconds": 0,  # 0 = until stdin is closed
    "timeout": 20,  # busy timeout, seconds
    "seed": 1,
    "rows": 1,  # rows of `load` written by a transaction
    "bytes": 200,  # their size
    "keep": 5000,  # rows of `load` that are kept
}
ACCOUNTS = 100
LONG = 0.05  # a wait, seconds
SCHEMA = """
PRAGMA journal_mode=WAL;
CREATE TABLE IF NOT EXISTS bank(id INTEGER PRIMARY KEY, amount INTEGER);
CREATE TABLE IF NOT EXISTS load(id INTEGER PRIMARY KEY, writer INTEGER, content BLOB);
"""
MODES = ("PASSIVE", "FULL", "RESTART", "TRUNCATE")


def connect(path, options):
    connection = sqlite3.connect(path, isolation_level=None, timeout=options["timeout"])
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def prepare(path, options):
    connection = connect(path, options)
    connection.executescript(SCHEMA)
    if not connection.execute("SELECT 1 FROM bank").fetchone():
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT OR IGNORE INTO bank VALUES (?, 1000)", [(n,) for n in range(ACCOUNTS)])
        connection.execute("COMMIT")
    connection.close()


def transact(connection, chance, number, options):
    one, other = chance.sample(range(ACCOUNTS), 2)
    amount = chance.randrange(100)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE bank SET amount = amount - ? WHERE id = ?", (amount, one))
    connection.execute("UPDATE bank SET amount = amount + ? WHERE id = ?", (amount, other))
    content = chance.randbytes(options["bytes"])
    for _ in range(options["rows"]):
        identity = chance.randrange(options["keep"])
        connection.execute("INSERT OR REPLACE INTO load VALUES (?, ?, ?)", (identity, number, content))
    connection.execute("COMMIT")


def write(path, options, number, stop, results):
    chance = random.Random(options["seed"] * 1000 + number)
    connection = connect(path, options)
    waits, long, errors, due = [], [], [], time.monotonic()
    while not stop.is_set():
        began = time.monotonic()
        try:
            transact(connection, chance, number, options)
        except sqlite3.Error as error:
            errors.append(str(error))
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        ended = time.monotonic()
        waits.append(ended - began)
        if ended - began > LONG:
            long.append((began, ended))
        if options["rate"]:
            due = max(due + 1 / options["rate"], began)
            time.sleep(max(0, due - time.monotonic()))
    connection.close()
    results.put((waits, long, errors))


def checkpoint(path, options, stop, results):
    chance = random.Random(options["seed"])
    connection = connect(path, options)
    modes, errors = {}, []
    while not stop.wait(options["checkpoint_ms"] / 1000):
        mode = chance.choice(MODES)
        try:
            busy = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()[0]
            modes[f"{mode} busy" if busy else mode] = modes.get(f"{mode} busy" if busy else mode, 0) + 1
        except sqlite3.Error as error:
            errors.append(str(error))
    connection.close()
    results.put((modes, errors))


def standstill(waits):
    """The longest time, in seconds, in which every writer waited for long."""
    edges = sorted(edge for own in waits for began, ended in own for edge in ((began, 1), (ended, -1)))
    longest, waiting, since = 0, 0, None
    for at, step in edges:
        if since is not None:
            longest = max(longest, at - since)
        waiting += step
        since = at if waiting == len(waits) else None
    return longest


def report(written, checkpoints):
    waits = sorted(wait for waits, _, _ in written for wait in waits)

    def milliseconds(share):
        return round(waits[min(len(waits) - 1, int(len(waits) * share))] * 1000, 2) if waits else None

    return {
        "transactions": len(waits),
        "errors": [error for _, _, errors in written for error in errors][:10],
        "p50_ms": milliseconds(0.5),
        "p99_ms": milliseconds(0.99),
        "max_ms": milliseconds(1),
        "long": sum(len(long) for _, long, _ in written),
        "standstill_ms": round(standstill([long for _, long, _ in written]) * 1000, 2),
        "checkpoints": checkpoints[0] if checkpoints else {},
        "checkpoint_errors": checkpoints[1][:10] if checkpoints else [],
    }


def main():
    path, options = sys.argv[1], DEFAULTS | json.loads(sys.argv[2])
    prepare(path, options)
    context = multiprocessing.get_context("fork")
    stop, written, checkpoints = context.Event(), context.Queue(), context.Queue()
    jobs = [(write, (path, options, n, stop, written)) for n in range(options["writers"])]
    if options["checkpoint_ms"]:
        jobs.append((checkpoint, (path, options, stop, checkpoints)))
    processes = [context.Process(target=target, args=args, daemon=True) for target, args in jobs]
    for process in processes:
        process.start()
    print("ready", flush=True)
    select.select([sys.stdin], [], [], options["seconds"] or None)
    stop.set()
    results = [written.get() for _ in range(options["writers"])]
    checkpointed = checkpoints.get() if options["checkpoint_ms"] else None
    print(json.dumps(report(results, checkpointed)), flush=True)


main()
