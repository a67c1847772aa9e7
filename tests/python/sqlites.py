"""SQLites of several versions behind the little of Python's interface that a reader needs.

connect(SQLITE, PATH)   SQLITE is "python3" (Python's own), "shell" (the program sqlite3), or the folder of a package apsw.
                        What comes back has execute(sql), whose answer has fetchone(), and close(). No connection waits for
                        a lock, and every error is one of Python's sqlite3
"""
import sqlite3
import subprocess
import sys


def connect(sqlite, path):
    if sqlite == "python3":
        # No patience: with a busy timeout a lock that somebody holds for less would look like a slow read.
        return sqlite3.connect(f"file:{path}?mode=rw", uri=True, isolation_level=None, timeout=0)
    return Shell(path) if sqlite == "shell" else Apsw(sqlite, path)


class Rows:
    """All rows of a statement that has ended: one that is left half read would hold its transaction."""

    def __init__(self, rows):
        self.rows = iter(rows)

    def fetchone(self):
        return next(self.rows, None)


class Apsw:
    def __init__(self, folder, path):
        if folder not in sys.path:
            sys.path.insert(0, folder)
        import apsw

        self.error = apsw.Error
        self.connection = self.tried(apsw.Connection, path, flags=apsw.SQLITE_OPEN_READWRITE)

    def tried(self, call, *arguments, **options):
        try:
            return call(*arguments, **options)
        except self.error as error:
            raise sqlite3.OperationalError(f"{type(error).__name__}: {error}") from error

    def execute(self, sql):
        return Rows(self.tried(lambda: list(self.connection.execute(sql))))

    def close(self):
        self.tried(self.connection.close)


class Shell:
    """One process for each connection, told statement by statement."""

    def __init__(self, path):
        command = ["sqlite3", "-batch", "-noheader", "-list", path]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(command, text=True, **pipes)

    def execute(self, sql):
        self.process.stdin.write(f"{sql};\n.print end of the answer\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line == "end of the answer\n":
                break
            lines.append(line.rstrip("\n"))
        else:
            raise sqlite3.OperationalError(f"the shell has ended: {lines}")
        if any("error" in line.lower() for line in lines):
            raise sqlite3.OperationalError(" ".join(lines))
        return Rows([tuple(map(number, line.split("|"))) for line in lines])

    def close(self):
        self.process.communicate()


def number(word):
    return int(word) if word.lstrip("-").isdigit() else word
