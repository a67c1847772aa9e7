"""A stranger on the standby: somebody who tries to write to a database that is marked read-only.

stray.py refused DATABASE       tries everything that writes; exit code 1 if anything was not refused
stray.py force DATABASE         takes the mark off behind SQLite's back, and writes a row through SQLite
stray.py scribble DATABASE      overwrites a page in the middle of the file behind SQLite's back
"""
import sqlite3
import sys

ATTEMPTS = [
    "INSERT INTO bank VALUES (7777, 1)",
    "UPDATE wide SET n = n + 1",
    "DELETE FROM tally",
    "REPLACE INTO bank VALUES (1, 1)",
    "CREATE TABLE stray(a)",
    "CREATE INDEX stray ON bank(amount)",
    "CREATE VIEW stray AS SELECT 1",
    "DROP TABLE bank",
    "ALTER TABLE bank RENAME TO stray",
    "ALTER TABLE bank ADD COLUMN stray",
    "VACUUM",
    "ANALYZE",
    "REINDEX",
    "PRAGMA user_version=9",
    "PRAGMA application_id=9",
    "PRAGMA auto_vacuum=2; VACUUM",
    "PRAGMA journal_mode=DELETE",
    "PRAGMA incremental_vacuum",
    "PRAGMA writable_schema=ON; DELETE FROM sqlite_schema",
    "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql='x'",
    "BEGIN IMMEDIATE; INSERT INTO bank VALUES (7777, 1); COMMIT",
    "BEGIN EXCLUSIVE; INSERT INTO bank VALUES (7777, 1); COMMIT",
    "SAVEPOINT s; DELETE FROM bank; RELEASE s",
]


def content(path):
    connection = sqlite3.connect(path, timeout=20)
    try:
        return connection.serialize()
    finally:
        connection.close()


def refused(path):
    wrong = []
    for attempt in ATTEMPTS:
        connection = sqlite3.connect(path, isolation_level=None, timeout=20)
        before = content(path)
        try:
            for statement in attempt.split("; "):
                connection.execute(statement).fetchall()
        except sqlite3.Error:
            pass
        finally:
            connection.close()
        if content(path) != before:
            wrong.append(attempt)
    print("\n".join(wrong) or f"{len(ATTEMPTS)} attempts, none did anything")
    return not wrong


def page_size(path):
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(18)[16:], "big")
    return 65536 if size == 1 else size


def force(path):
    # What is in the WAL hides what is in the file.
    connection = sqlite3.connect(path, isolation_level=None, timeout=20)
    busy, pages, moved = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    connection.close()
    print(f"checkpoint: busy {busy}, {moved} of {pages}", flush=True)
    with open(path, "r+b") as file:
        file.seek(18)
        file.write(b"\2")
    connection = sqlite3.connect(path, isolation_level=None, timeout=20)
    connection.execute("INSERT INTO load VALUES (987654, 'stray')")
    connection.close()
    return True


def scribble(path):
    connection = sqlite3.connect(path, isolation_level=None, timeout=20)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.close()
    with open(path, "r+b") as file:
        file.seek(page_size(path) * (pages // 2) + 100)
        file.write(b"stray bytes")
    return True


def main():
    sys.exit(not globals()[sys.argv[1]](sys.argv[2]))


main()
