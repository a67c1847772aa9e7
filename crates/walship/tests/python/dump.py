"""Writes the image that SQLite itself sees: dump.py DATABASE FILE."""
import sqlite3
import sys

db = sqlite3.connect("file:%s?mode=rw" % sys.argv[1], uri=True, timeout=0.5, isolation_level=None)
with open(sys.argv[2], "wb") as out:
    out.write(db.serialize())
