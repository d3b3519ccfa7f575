"""The bare counterpart of a command: a script that opens SQLite and inserts one row, durably."""

import sqlite3
import sys
import time

now = time.time()
connection = sqlite3.connect(sys.argv[1])
cursor = connection.execute(
    "INSERT INTO job (lane, declared_at, due_at, payload, retries, retry_after, timeout)"
    " VALUES (1, ?, ?, ?, 0, 60.0, NULL)",
    (now, now, '{"n":1}'),
)
connection.commit()
print(cursor.lastrowid)
