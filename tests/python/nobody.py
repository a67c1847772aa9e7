"""Runs a program as a user who owns nothing, or, where we are not root, as who we are.

nobody.py PROGRAM ARGUMENTS...

The program is opened before: its folder may be shut for that user.
"""
import os
import sys

NOBODY = 65534

arguments = sys.argv[1:]
if os.getuid() == 0:
    program = os.open(arguments[0], os.O_RDONLY)
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    os.execve(program, arguments, os.environ)
os.execv(arguments[0], arguments)
