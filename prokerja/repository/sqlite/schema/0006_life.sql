-- What people call the declarations that belong together, if they said so.
ALTER TABLE declaration ADD COLUMN batch TEXT;
CREATE INDEX batched ON declaration (batch, status) WHERE batch IS NOT NULL;

-- Keys under which a declaration stands, while it is open, for all of its job that are declared with
-- the same.
CREATE TABLE coalescing (
    declaration INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    directory TEXT NOT NULL,
    key TEXT NOT NULL,
    open INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE UNIQUE INDEX standing ON coalescing (key, name, directory) WHERE open;

-- Open declarations that stand neither in pending nor in a claim: held until somebody releases
-- them, or waiting for others to end.
CREATE TABLE blocked (
    declaration INTEGER PRIMARY KEY,
    lane INTEGER NOT NULL,
    held INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX blocked_lane ON blocked (lane, declaration);

-- The declarations that one depends on. Met: the parent has ended as it was to.
CREATE TABLE dependency (
    child INTEGER NOT NULL,
    parent INTEGER NOT NULL,
    if_fails TEXT NOT NULL,              -- what a failed parent means: cancel, run or wait
    met INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (child, parent)
) STRICT, WITHOUT ROWID;
CREATE INDEX unmet ON dependency (parent, child) WHERE NOT met;
CREATE INDEX unmet_child ON dependency (child) WHERE NOT met;

-- Declarations that wait until no other of a batch is open; and how many of it had completed and
-- failed when that was so.
CREATE TABLE successor (
    declaration INTEGER PRIMARY KEY,
    batch TEXT NOT NULL,
    completed INTEGER,
    failed INTEGER
) STRICT;
CREATE INDEX succeeding ON successor (batch) WHERE completed IS NULL;

-- When a declaration fails that has not been started by then.
CREATE TABLE expiry (
    declaration INTEGER PRIMARY KEY,
    expires_at REAL NOT NULL
) STRICT;
CREATE INDEX expiring ON expiry (expires_at);

-- The door for one declaration: a single statement writes its row, queues it and counts it.
-- The next migration closes it, and makes one with its own number.
CREATE VIEW register_6 AS
SELECT id, lane, declared_at, due_at, payload, retries, retry_after, timeout, label, batch
FROM declaration;

CREATE TRIGGER register_one INSTEAD OF INSERT ON register_6
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
