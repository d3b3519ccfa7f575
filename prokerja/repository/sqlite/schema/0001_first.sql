-- What a declaration shares with many others, and how many of each status there are.
CREATE TABLE lane (
    id INTEGER PRIMARY KEY,
    queue TEXT NOT NULL CHECK (length(queue) BETWEEN 1 AND 255),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    priority INTEGER NOT NULL CHECK (priority BETWEEN -1000 AND 1000),
    pending INTEGER NOT NULL DEFAULT 0 CHECK (pending >= 0),
    processing INTEGER NOT NULL DEFAULT 0 CHECK (processing >= 0),
    completed INTEGER NOT NULL DEFAULT 0 CHECK (completed >= 0),
    failed INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0),
    UNIQUE (queue, name, priority)
) STRICT;

-- What was asked for, and what came of it. Status: 0 open, 1 completed, 2 failed; an open one
-- stands either in pending or in a claim. Times are UTC seconds since the epoch.
CREATE TABLE declaration (
    id INTEGER PRIMARY KEY,              -- never used again: see purged
    lane INTEGER NOT NULL,
    status INTEGER NOT NULL DEFAULT 0,
    declared_at REAL NOT NULL,
    due_at REAL NOT NULL,
    payload TEXT NOT NULL,
    retries INTEGER NOT NULL CHECK (retries BETWEEN 0 AND 1000),
    retry_after REAL NOT NULL CHECK (retry_after >= 0),
    timeout REAL CHECK (timeout > 0),
    attempt INTEGER NOT NULL DEFAULT 0,  -- attempts that have ended
    forgiven INTEGER NOT NULL DEFAULT 0, -- of them, those before the last retry by hand
    returns INTEGER NOT NULL DEFAULT 0,  -- how often it came back without using an attempt
    started_at REAL,
    finished_at REAL,
    result TEXT
) STRICT;

-- One row: the highest id that may have been purged. New ids are above it, and above all there
-- are. AUTOINCREMENT would say the same, for one more page to write with each declaration.
CREATE TABLE purged (id INTEGER NOT NULL) STRICT;
INSERT INTO purged (id) VALUES (0);

-- Finished ones by lane and end, for lists and for purging.
CREATE INDEX settled ON declaration (lane, status, finished_at) WHERE finished_at IS NOT NULL;

-- The queue itself: a lane's waiting declarations in the order of their due time.
CREATE TABLE pending (
    lane INTEGER NOT NULL,
    due_at REAL NOT NULL,
    declaration INTEGER NOT NULL,
    PRIMARY KEY (lane, due_at, declaration)
) STRICT, WITHOUT ROWID;

-- One worker's right to one attempt at each of the declarations it lists (a JSON array of ids).
CREATE TABLE claim (
    token INTEGER PRIMARY KEY,
    worker INTEGER NOT NULL,
    claimed_at REAL NOT NULL,
    declarations TEXT NOT NULL
) STRICT;

-- Claimed declarations that are known to have been started.
CREATE TABLE running (
    declaration INTEGER PRIMARY KEY,
    token INTEGER NOT NULL,
    started_at REAL NOT NULL
) STRICT;

-- Attempts that ended otherwise than well; the last good one stands in its declaration.
CREATE TABLE attempt (
    declaration INTEGER NOT NULL,
    number INTEGER NOT NULL,
    worker INTEGER NOT NULL,
    started_at REAL,
    finished_at REAL NOT NULL,
    crashed INTEGER NOT NULL,            -- 1: it died with its worker
    error TEXT NOT NULL,
    traceback TEXT,
    PRIMARY KEY (declaration, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE worker (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pid INTEGER NOT NULL,
    started_at REAL NOT NULL,
    realizers INTEGER NOT NULL,
    queues TEXT NOT NULL,                -- a JSON array, empty for all
    names TEXT NOT NULL                  -- a JSON array
) STRICT;

-- What the jobs were when their files were last read.
CREATE TABLE catalog (
    name TEXT PRIMARY KEY,
    file TEXT NOT NULL,
    spec TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE source (
    file TEXT PRIMARY KEY,
    mtime_ns INTEGER NOT NULL,
    size INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The door for plain SQL: INSERT INTO declare (job, payload) VALUES ('noop', '{}').
CREATE VIEW declare AS
SELECT
    declaration.id, lane.name AS job, declaration.payload, lane.queue, lane.priority,
    declaration.due_at, declaration.retries, declaration.retry_after, declaration.timeout
FROM declaration JOIN lane ON lane.id = declaration.lane;

CREATE TRIGGER declare_job INSTEAD OF INSERT ON declare
BEGIN
    SELECT RAISE(ABORT, 'unknown job; `prokerja jobs` lists those there are')
    WHERE NOT EXISTS (SELECT 1 FROM catalog WHERE name = NEW.job);
    SELECT RAISE(ABORT, 'the payload is larger than 1 MiB; pass the path of a file instead')
    WHERE length(CAST(NEW.payload AS BLOB)) > 1048576;
    SELECT RAISE(ABORT, 'the payload is no JSON object; write it like {"n": 1}')
    WHERE NEW.payload IS NOT NULL
        AND CASE WHEN typeof(NEW.payload) = 'text' AND json_valid(NEW.payload)
            AND instr(CAST(NEW.payload AS BLOB), x'00') = 0
            THEN json_type(NEW.payload) IS NOT 'object' ELSE 1 END;
    SELECT RAISE(ABORT, 'the payload has a field that the job does not take; see `prokerja jobs`')
    FROM catalog JOIN json_each(coalesce(NEW.payload, '{}')) AS given
    WHERE catalog.name = NEW.job AND NOT json_extract(catalog.spec, '$.open') AND given.key NOT IN (
        SELECT json_extract(field.value, '$.name') FROM json_each(catalog.spec, '$.fields') AS field
    );
    SELECT RAISE(ABORT, 'the payload lacks a field that the job needs; see `prokerja jobs`')
    FROM catalog JOIN json_each(catalog.spec, '$.fields') AS field
    WHERE catalog.name = NEW.job AND json_extract(field.value, '$.required')
        AND json_extract(field.value, '$.name') NOT IN (
            SELECT given.key FROM json_each(coalesce(NEW.payload, '{}')) AS given
        );
    SELECT RAISE(ABORT, 'due_at is neither UTC seconds nor a time such as 2030-01-31 18:00')
    WHERE CASE typeof(NEW.due_at)
        WHEN 'null' THEN 0
        WHEN 'text' THEN julianday(NEW.due_at) IS NULL
        WHEN 'blob' THEN 1
        ELSE NEW.due_at > 253402300799 END;
    SELECT RAISE(ABORT, 'the queue needs a name of 1 to 255 characters, none of them a control one')
    WHERE typeof(NEW.queue) <> 'null' AND (typeof(NEW.queue) <> 'text'
        OR length(NEW.queue) NOT BETWEEN 1 AND 255
        OR NEW.queue GLOB '*[' || char(1) || '-' || char(31, 127) || ']*'
        OR instr(NEW.queue, char(0)));
    SELECT RAISE(ABORT, 'priority must be a whole number from -1000 to 1000')
    WHERE typeof(NEW.priority) <> 'null' AND (typeof(NEW.priority) <> 'integer'
        OR NEW.priority NOT BETWEEN -1000 AND 1000);
    SELECT RAISE(ABORT, 'retries must be a whole number from 0 to 1000')
    WHERE typeof(NEW.retries) <> 'null' AND (typeof(NEW.retries) <> 'integer'
        OR NEW.retries NOT BETWEEN 0 AND 1000);
    SELECT RAISE(ABORT, 'retry_after must be seconds, from 0 to a hundred years')
    WHERE typeof(NEW.retry_after) <> 'null' AND (typeof(NEW.retry_after) NOT IN ('integer', 'real')
        OR NEW.retry_after NOT BETWEEN 0 AND 3153600000);
    SELECT RAISE(ABORT, 'timeout must be seconds, more than 0 and up to a hundred years')
    WHERE typeof(NEW.timeout) <> 'null' AND (typeof(NEW.timeout) NOT IN ('integer', 'real')
        OR NEW.timeout NOT BETWEEN 1e-6 AND 3153600000);

    -- From here on nothing can fail, whatever conflict clause the caller's INSERT has.
    INSERT INTO lane (queue, name, priority)
    SELECT queue, name, priority FROM (
        SELECT
            coalesce(NEW.queue, json_extract(spec, '$.queue')) AS queue, name,
            coalesce(NEW.priority, json_extract(spec, '$.priority')) AS priority
        FROM catalog WHERE name = NEW.job
    ) AS wanted
    WHERE NOT EXISTS (
        SELECT 1 FROM lane WHERE lane.queue = wanted.queue AND lane.name = wanted.name
        AND lane.priority = wanted.priority
    );

    INSERT INTO declaration (id, lane, declared_at, due_at, payload, retries, retry_after, timeout)
    SELECT
        1 + max((SELECT id FROM purged), (SELECT coalesce(max(id), 0) FROM declaration)),
        lane.id, moment.now,
        max(moment.now, coalesce(CASE typeof(NEW.due_at)
            WHEN 'text' THEN round((julianday(NEW.due_at) - 2440587.5) * 86400.0, 3)
            ELSE NEW.due_at END, moment.now)),
        coalesce(NEW.payload, '{}'),
        coalesce(NEW.retries, json_extract(spec, '$.retries')),
        coalesce(NEW.retry_after, json_extract(spec, '$.retry_after')),
        coalesce(NEW.timeout, json_extract(spec, '$.timeout'))
    FROM catalog
        JOIN (SELECT (julianday('now') - 2440587.5) * 86400.0 AS now) AS moment
        JOIN lane ON lane.queue = coalesce(NEW.queue, json_extract(spec, '$.queue'))
            AND lane.name = catalog.name
            AND lane.priority = coalesce(NEW.priority, json_extract(spec, '$.priority'))
    WHERE catalog.name = NEW.job;

    INSERT INTO pending (lane, due_at, declaration)
    SELECT lane, due_at, id FROM declaration WHERE id = (SELECT max(id) FROM declaration);

    UPDATE lane SET pending = pending + 1
    WHERE id = (SELECT lane FROM declaration WHERE id = (SELECT max(id) FROM declaration));
END;
