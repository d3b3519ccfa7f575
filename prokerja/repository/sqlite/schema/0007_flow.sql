-- What declarations are subject to beside their queues: limits and rates by key, resources, turns
-- between keys. What does not apply is empty, or 0.
CREATE TABLE flow (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    limit_key TEXT NOT NULL DEFAULT '',
    max_running INTEGER NOT NULL DEFAULT 0, -- how many of that key may run at once
    rate_key TEXT NOT NULL DEFAULT '',
    max_starts INTEGER NOT NULL DEFAULT 0,  -- how many of that key may start in so many seconds
    rate_seconds REAL NOT NULL DEFAULT 0,
    needs TEXT NOT NULL DEFAULT '{}',       -- a JSON object: how much of each resource
    fair_key TEXT NOT NULL DEFAULT '',
    UNIQUE (limit_key, max_running, rate_key, max_starts, rate_seconds, needs, fair_key)
) STRICT;
CREATE INDEX flow_rate ON flow (rate_key, rate_seconds) WHERE rate_key <> '';

-- All that is subject to one flow waits in lanes of its own, so that a lane as a whole may be
-- claimed from, or not. `flow` is 0 for all other lanes.
CREATE TABLE old_lane AS SELECT * FROM lane;
DROP TABLE lane;

CREATE TABLE lane (
    id INTEGER PRIMARY KEY AUTOINCREMENT,   -- lanes with flows go once nothing is in them
    queue TEXT NOT NULL CHECK (length(queue) BETWEEN 1 AND 255),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    priority INTEGER NOT NULL CHECK (priority BETWEEN -1000 AND 1000),
    pending INTEGER NOT NULL DEFAULT 0 CHECK (pending >= 0),
    processing INTEGER NOT NULL DEFAULT 0 CHECK (processing >= 0),
    completed INTEGER NOT NULL DEFAULT 0 CHECK (completed >= 0),
    failed INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0),
    directory TEXT NOT NULL DEFAULT '',
    fields TEXT NOT NULL DEFAULT '',
    awaiting INTEGER NOT NULL DEFAULT 0 CHECK (awaiting >= 0),
    flow INTEGER NOT NULL DEFAULT 0,
    UNIQUE (queue, name, priority, directory, fields, flow)
) STRICT;

INSERT INTO lane (
    id, queue, name, priority, pending, processing, completed, failed, directory, fields, awaiting
)
SELECT id, queue, name, priority, pending, processing, completed, failed, directory, fields, awaiting
FROM old_lane;

DROP TABLE old_lane;

-- Claimed declarations that take something of a limit, a rate or a resource, as long as the claim
-- of that token lasts.
CREATE TABLE slot (
    declaration INTEGER PRIMARY KEY,
    token INTEGER NOT NULL,
    flow INTEGER NOT NULL
) STRICT;
CREATE INDEX slot_token ON slot (token);

-- What has started under a rate: `key` is that of a flow after 'key ', or a queue after 'queue '.
-- `at` is empty until it is known when it began; it counts all the while.
CREATE TABLE start (
    key TEXT NOT NULL,
    declaration INTEGER NOT NULL,
    token INTEGER NOT NULL,
    at REAL
) STRICT;
CREATE INDEX start_key ON start (key, at);
CREATE INDEX start_open ON start (token) WHERE at IS NULL;

-- When the keys that take turns have had the last of theirs, as a number that grows.
CREATE TABLE turn (
    fair_key TEXT PRIMARY KEY,
    served INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What people have said of queues: how many may run at once, how many may start in so many
-- seconds, and who has paused it, why, until when. The queue '' stands for all of them.
CREATE TABLE queue (
    name TEXT PRIMARY KEY,
    max_running INTEGER CHECK (max_running > 0),
    max_starts INTEGER CHECK (max_starts > 0),
    rate_seconds REAL CHECK (rate_seconds > 0),
    paused_at REAL,
    paused_by TEXT,
    paused_why TEXT,
    paused_until REAL
) STRICT, WITHOUT ROWID;

-- What a worker's machine has, and how much its queues weigh beside each other, if they do.
ALTER TABLE worker ADD COLUMN resources TEXT NOT NULL DEFAULT '{}';
ALTER TABLE worker ADD COLUMN weights TEXT NOT NULL DEFAULT '[]';

-- The trace in which a declaration was made, of those that were made in one: a JSON object with
-- `traceparent` and, if there is one, `tracestate`, as W3C Trace Context has them.
CREATE TABLE trace (
    declaration INTEGER PRIMARY KEY,
    context TEXT NOT NULL
) STRICT;

-- The door for one declaration: a single statement writes its row, queues it and counts it.
-- The next migration closes it, and makes one with its own number.
CREATE VIEW register_7 AS
SELECT id, lane, declared_at, due_at, payload, retries, retry_after, timeout, label, batch
FROM declaration;

CREATE TRIGGER register_one INSTEAD OF INSERT ON register_7
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
