-- What workers say of themselves, each kind once: why they take no jobs, or what is wrong.
CREATE TABLE worker_note (
    worker INTEGER NOT NULL,
    kind TEXT NOT NULL,
    since REAL NOT NULL,
    text TEXT NOT NULL,
    holds INTEGER NOT NULL,                  -- whether the worker takes no jobs because of it
    PRIMARY KEY (worker, kind)
) STRICT, WITHOUT ROWID;

-- What attempts have used that took longer than a moment; a row is written before its attempt is
-- settled, in the same transaction.
CREATE TABLE cost (
    declaration INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    peak_bytes INTEGER,                      -- null: unknown
    cpu_seconds REAL,                        -- null: unknown
    PRIMARY KEY (declaration, attempt)
) STRICT, WITHOUT ROWID;

-- The door for one declaration: a single statement writes its row, queues it and counts it.
-- The next migration closes it, and makes one with its own number.
CREATE VIEW register_8 AS
SELECT id, lane, declared_at, due_at, payload, retries, retry_after, timeout, label, batch
FROM declaration;

CREATE TRIGGER register_one INSTEAD OF INSERT ON register_8
BEGIN
    INSERT INTO declaration (
        id, lane, declared_at, due_at, payload, retries, retry_after, timeout, label, batch
    ) VALUES (
        NEW.id, NEW.lane, NEW.declared_at, NEW.due_at, NEW.payload, NEW.retries, NEW.retry_after,
        NEW.timeout, NEW.label, NEW.batch
    );
    INSERT INTO pending (lane, due_at, declaration) VALUES (NEW.lane, NEW.due_at, NEW.id);
    UPDATE lane SET pending = pending + 1 WHERE id = NEW.lane;
END;
