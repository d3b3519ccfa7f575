-- How many attempts of each lane have ended, completed or not, and how long they took: in which
-- class, of up to so many seconds, and together. It is kept for good, whatever is purged.
CREATE TABLE histogram (
    lane INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    up_to REAL NOT NULL,
    attempts INTEGER NOT NULL,
    seconds REAL NOT NULL,
    PRIMARY KEY (lane, completed, up_to)
) STRICT, WITHOUT ROWID;

-- Declarations that are claimed and are to end, and the error that they end with. A row counts for
-- the claim of that token only.
CREATE TABLE cancellation (
    declaration INTEGER PRIMARY KEY,
    token INTEGER NOT NULL,
    error TEXT NOT NULL
) STRICT;

-- The door for one declaration: a single statement writes its row, queues it and counts it.
-- The next migration closes it, and makes one with its own number.
CREATE VIEW register_5 AS
SELECT id, lane, declared_at, due_at, payload, retries, retry_after, timeout, label
FROM declaration;

CREATE TRIGGER register_one INSTEAD OF INSERT ON register_5
BEGIN
    INSERT INTO declaration (
        id, lane, declared_at, due_at, payload, retries, retry_after, timeout, label
    ) VALUES (
        NEW.id, NEW.lane, NEW.declared_at, NEW.due_at, NEW.payload, NEW.retries, NEW.retry_after,
        NEW.timeout, NEW.label
    );
    INSERT INTO pending (lane, due_at, declaration) VALUES (NEW.lane, NEW.due_at, NEW.id);
    UPDATE lane SET pending = pending + 1 WHERE id = NEW.lane;
END;
