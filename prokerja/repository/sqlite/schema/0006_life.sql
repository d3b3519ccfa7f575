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

-- Declarations that ended while they were held, and are held again when they are tried again.
CREATE TABLE held_before (declaration INTEGER PRIMARY KEY) STRICT;

-- The declarations that one depends on. Met: the parent has ended as it was to.
CREATE TABLE dependency (
    child INTEGER NOT NULL,
    parent INTEGER NOT NULL,
    if_fails TEXT NOT NULL,              -- what a failed parent means: cancel, run or wait
    met INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (child, parent)
) STRICT, WITHOUT ROWID;
CREATE INDEX dependent ON dependency (parent, child);
CREATE INDEX unmet ON dependency (child) WHERE NOT met;

-- Declarations that wait until no other of a batch is open; and how many of it had completed and
-- failed when that was so.
CREATE TABLE successor (
    declaration INTEGER PRIMARY KEY,
    batch TEXT NOT NULL,
    completed INTEGER,
    failed INTEGER,
    latest INTEGER                       -- the highest id of the batch then
) STRICT;
CREATE INDEX succeeding ON successor (batch) WHERE completed IS NULL;

-- When a declaration fails that has not been started by then.
CREATE TABLE expiry (
    declaration INTEGER PRIMARY KEY,
    expires_at REAL NOT NULL
) STRICT;
CREATE INDEX expiring ON expiry (expires_at);

-- Results too long to be kept: how long they were, and how they began. The declaration has none.
CREATE TABLE cut_result (
    declaration INTEGER PRIMARY KEY,
    bytes INTEGER NOT NULL,
    beginning TEXT NOT NULL
) STRICT;

-- How far declarations have come, by the last word of their last attempt that said so.
CREATE TABLE progress (
    declaration INTEGER PRIMARY KEY,
    attempt INTEGER NOT NULL,
    done ANY NOT NULL,                   -- numbers, whole or not
    total ANY,
    text TEXT NOT NULL,
    reported_at REAL NOT NULL
) STRICT;

-- Steps that are done. Result: JSON, until the declaration has completed.
CREATE TABLE step (
    declaration INTEGER NOT NULL,
    name TEXT NOT NULL,
    result TEXT,
    done_at REAL NOT NULL,
    UNIQUE (declaration, name)
) STRICT;
CREATE INDEX kept_step ON step (declaration) WHERE result IS NOT NULL;

-- The door for plain SQL: INSERT INTO declare (job, payload) VALUES ('noop', '{}') RETURNING id.
--
-- It was a view, whose new rows have no id to return. This is a table, in which one row stays: the
-- marker. SQLite gives a new row the id after the highest, so the marker is moved to just below the
-- id that the declaration is to get, and to that id itself once the row has been written down and
-- deleted. Columns of numbers are NUMERIC for drivers that bind numbers as text or as floats.
DROP VIEW declare;

CREATE TABLE declare (
    id INTEGER PRIMARY KEY,
    job, payload, jobs, queue, priority NUMERIC, due_at, retries NUMERIC, retry_after NUMERIC,
    timeout NUMERIC, label, batch, coalesce, replace NUMERIC, hold NUMERIC, expires_at,
    after NUMERIC, if_parent_fails, after_batch
);
INSERT INTO declare (id) VALUES (0);

CREATE TRIGGER declare_marker BEFORE DELETE ON declare WHEN (SELECT count(*) FROM declare) = 1
BEGIN
    SELECT RAISE(ABORT, 'no jobs are kept in declare; use `prokerja cancel` or `prokerja purge`');
END;

CREATE TRIGGER declare_check BEFORE INSERT ON declare
BEGIN
    SELECT RAISE(ABORT, 'unknown job; `prokerja jobs` lists those there are')
    WHERE NOT EXISTS (
        SELECT 1 FROM job WHERE name = NEW.job AND directory = coalesce(NEW.jobs, directory)
    );
    SELECT RAISE(ABORT, 'several directories have a job of that name; say in the column jobs which')
    WHERE 1 < (
        SELECT count(*) FROM job WHERE name = NEW.job AND directory = coalesce(NEW.jobs, directory)
    );
    SELECT RAISE(ABORT, 'the payload is larger than 1 MiB; pass the path of a file instead')
    WHERE length(CAST(NEW.payload AS BLOB)) > 1048576;
    SELECT RAISE(ABORT, 'the payload is no JSON object; write it like {"n": 1}')
    WHERE NEW.payload IS NOT NULL
        AND CASE WHEN typeof(NEW.payload) = 'text' AND json_valid(NEW.payload)
            AND instr(CAST(NEW.payload AS BLOB), x'00') = 0
            THEN json_type(NEW.payload) IS NOT 'object' ELSE 1 END;
    SELECT CASE
        WHEN EXISTS (
            SELECT 1 FROM json_each(spec, '$.unsure') WHERE value IN ('name', 'fields')
        ) THEN RAISE(ABORT, 'the job is partly computed in its file; start a worker once')
        WHEN EXISTS (
            SELECT 1 FROM json_each(spec, '$.unsure') WHERE CASE value
                WHEN 'queue' THEN NEW.queue IS NULL
                WHEN 'priority' THEN NEW.priority IS NULL
                WHEN 'retries' THEN NEW.retries IS NULL
                WHEN 'retry_after' THEN NEW.retry_after IS NULL
                WHEN 'timeout' THEN NEW.timeout IS NULL END
        ) THEN RAISE(ABORT,
            'an option of the job is computed in its file; start a worker once, or give it here')
        WHEN NOT json_extract(spec, '$.open') AND EXISTS (
            SELECT key FROM json_each(coalesce(NEW.payload, '{}')) WHERE key NOT IN (
                SELECT json_extract(value, '$.name') FROM json_each(spec, '$.fields')
            )
        ) THEN RAISE(ABORT,
            'the payload has a field that the job does not take; see `prokerja jobs`')
        WHEN EXISTS (
            SELECT 1 FROM json_each(spec, '$.fields') AS field
            WHERE json_extract(field.value, '$.required')
                AND json_extract(field.value, '$.name') NOT IN (
                    SELECT key FROM json_each(coalesce(NEW.payload, '{}'))
                )
        ) THEN RAISE(ABORT, 'the payload lacks a field that the job needs; see `prokerja jobs`')
        -- The payload's values and those within them, each with the schemas that it may have. What
        -- is within a value is not looked at if more than one of its schemas may be meant.
        WHEN EXISTS (
            WITH RECURSIVE part (type, value, schemas) AS (
                SELECT given.type, given.value, coalesce(
                    json_extract(field.value, '$.schema.anyOf'),
                    json_array(json_extract(field.value, '$.schema'))
                )
                FROM json_each(spec, '$.fields') AS field JOIN json_each(NEW.payload) AS given
                    ON given.key = json_extract(field.value, '$.name')
                UNION ALL
                SELECT item.type, item.value, coalesce(
                    json_extract(schema.value, '$.items.anyOf'),
                    json_extract(schema.value, '$.additionalProperties.anyOf'),
                    json_array(coalesce(
                        json_extract(schema.value, '$.items'),
                        json_extract(schema.value, '$.additionalProperties')
                    ))
                )
                FROM part JOIN json_each(part.schemas) AS schema
                    JOIN json_each(iif(part.type IN ('array', 'object'), part.value, NULL)) AS item
                WHERE json_extract(schema.value, '$.type') = part.type
                    AND 'object' IN (
                        json_type(schema.value, '$.items'),
                        json_type(schema.value, '$.additionalProperties')
                    )
                    AND 1 = (
                        SELECT count(*) FROM json_each(part.schemas)
                        WHERE coalesce(json_extract(value, '$.type'), part.type) = part.type
                    )
            )
            SELECT 1 FROM part WHERE NOT EXISTS (
                SELECT 1 FROM json_each(part.schemas) AS schema
                WHERE CASE WHEN json_type(schema.value, '$.enum') = 'array'
                    THEN EXISTS (
                        SELECT 1 FROM json_each(schema.value, '$.enum') AS one
                        WHERE one.type = part.type AND one.value IS part.value
                    )
                    ELSE instr(
                        CASE part.type
                            WHEN 'text' THEN 'string'
                            WHEN 'integer' THEN 'integer number'
                            WHEN 'real' THEN 'number'
                            WHEN 'true' THEN 'boolean'
                            WHEN 'false' THEN 'boolean'
                            ELSE part.type END,
                        coalesce(json_extract(schema.value, '$.type'), '')
                    ) END
            )
        ) THEN RAISE(ABORT,
            'the payload has a value that is not of the type of its field; see `prokerja jobs`')
    END
    FROM job WHERE name = NEW.job AND directory = coalesce(NEW.jobs, directory);
    SELECT RAISE(ABORT, 'due_at is neither UTC seconds nor a time such as 2030-01-31 18:00')
    WHERE CASE typeof(NEW.due_at)
        WHEN 'null' THEN 0
        WHEN 'text' THEN julianday(NEW.due_at) IS NULL
        WHEN 'blob' THEN 1
        ELSE NEW.due_at > 253402300799 END;
    SELECT RAISE(ABORT, 'expires_at is neither UTC seconds nor a time such as 2030-01-31 18:00')
    WHERE CASE typeof(NEW.expires_at)
        WHEN 'null' THEN 0
        WHEN 'text' THEN julianday(NEW.expires_at) IS NULL
        WHEN 'blob' THEN 1
        ELSE NEW.expires_at > 253402300799 END;
    SELECT CASE name.key WHEN 0
        THEN RAISE(ABORT,
            'the queue needs a name of 1 to 255 characters, none of them a control one')
        ELSE RAISE(ABORT,
            'label, batch, coalesce and after_batch take 1 to 255 characters, no control ones')
        END
    FROM (
        SELECT 0 AS key, NEW.queue AS value
        UNION ALL SELECT 1, NEW.label UNION ALL SELECT 1, NEW.batch
        UNION ALL SELECT 1, NEW.coalesce UNION ALL SELECT 1, NEW.after_batch
    ) AS name
    WHERE typeof(name.value) <> 'null' AND (typeof(name.value) <> 'text'
        OR length(name.value) NOT BETWEEN 1 AND 255
        OR name.value GLOB '*[' || char(1) || '-' || char(31, 127) || ']*'
        OR instr(name.value, char(0)));
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
    SELECT RAISE(ABORT, 'replace and hold are 0 or 1')
    WHERE coalesce(NEW.replace, 0) NOT IN (0, 1) OR coalesce(NEW.hold, 0) NOT IN (0, 1);
    SELECT RAISE(ABORT, 'replace goes with coalesce; give a key, or leave it out')
    WHERE NEW.replace AND NEW.coalesce IS NULL;
    SELECT RAISE(ABORT, 'after is neither an id nor a JSON array of ids, such as [1, 2]')
    WHERE CASE typeof(NEW.after)
        WHEN 'null' THEN 0
        WHEN 'integer' THEN NEW.after < 1
        WHEN 'text' THEN iif(json_valid(NEW.after), json_type(NEW.after) <> 'array', 1)
        ELSE 1 END;
    SELECT RAISE(ABORT, 'after is neither an id nor a JSON array of ids, such as [1, 2]')
    FROM json_each(NEW.after) WHERE type <> 'integer' OR value < 1;
    SELECT RAISE(ABORT, 'if_parent_fails is cancel, run or wait')
    WHERE coalesce(NEW.if_parent_fails, 'cancel') NOT IN ('cancel', 'run', 'wait');
    SELECT RAISE(ABORT, 'if_parent_fails goes with after; give the ids, or leave it out')
    WHERE coalesce(NEW.if_parent_fails, 'cancel') <> 'cancel'
        AND NOT EXISTS (SELECT 1 FROM json_each(NEW.after));

    UPDATE declare SET
        due_at = max(
            (julianday('now') - 2440587.5) * 86400.0,
            coalesce(CASE typeof(NEW.due_at)
                WHEN 'text' THEN round((julianday(NEW.due_at) - 2440587.5) * 86400.0, 3)
                ELSE NEW.due_at END, 0)
        ),
        coalesce = CASE WHEN NEW.coalesce IS NOT NULL THEN (
            SELECT declaration FROM coalescing WHERE key = NEW.coalesce AND name = NEW.job AND open
                AND directory = coalesce(NEW.jobs, (SELECT directory FROM job WHERE name = NEW.job))
        ) END;
    UPDATE declare SET id = coalesce(
        coalesce, 1 + max((SELECT id FROM purged), (SELECT coalesce(max(id), 0) FROM declaration))
    ) - 1;
END;

CREATE TRIGGER declare_standing AFTER INSERT ON declare
WHEN EXISTS (SELECT 1 FROM declare WHERE coalesce = NEW.id)
BEGIN
    UPDATE pending SET due_at = (SELECT due_at FROM declare WHERE id = NEW.id - 1)
    WHERE NEW.replace AND NOT EXISTS (SELECT 1 FROM answer WHERE declaration = NEW.id)
        AND (lane, due_at, declaration) = (
        SELECT lane, due_at, id FROM declaration WHERE id = NEW.id
    );
    UPDATE declaration SET
        payload = coalesce(NEW.payload, '{}'),
        due_at = (SELECT due_at FROM declare WHERE id = NEW.id - 1)
    WHERE NEW.replace AND id = NEW.id
        AND NOT EXISTS (SELECT 1 FROM answer WHERE declaration = NEW.id) AND (
        EXISTS (SELECT 1 FROM blocked WHERE declaration = NEW.id)
        OR EXISTS (
            SELECT 1 FROM pending JOIN declare ON pending.due_at = declare.due_at
            WHERE declare.id = NEW.id - 1 AND pending.lane = declaration.lane
                AND pending.declaration = NEW.id
        )
    );
    -- What it has done was for what it was asked before.
    DELETE FROM step WHERE NEW.replace AND declaration = NEW.id AND (
        EXISTS (SELECT 1 FROM blocked WHERE blocked.declaration = NEW.id)
        OR EXISTS (
            SELECT 1 FROM declaration JOIN pending ON pending.lane = declaration.lane
                AND pending.due_at = declaration.due_at AND pending.declaration = declaration.id
            WHERE declaration.id = NEW.id
        )
    );
    DELETE FROM declare WHERE id = NEW.id;
    UPDATE declare SET id = NEW.id;
END;

CREATE TRIGGER declare_new AFTER INSERT ON declare
WHEN NOT EXISTS (SELECT 1 FROM declare WHERE coalesce = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'ids are given by prokerja; leave the column id out')
    WHERE NOT EXISTS (SELECT 1 FROM declare WHERE id = NEW.id - 1);
    SELECT RAISE(ABORT, 'after names a job that is not there; `prokerja report:jobs` lists them')
    FROM json_each(NEW.after) AS parent
    WHERE NOT EXISTS (SELECT 1 FROM declaration WHERE id = parent.value);
    SELECT RAISE(ABORT,
        'a job in after has failed; retry that one, or set if_parent_fails to run or wait')
    FROM json_each(NEW.after) AS parent JOIN declaration ON declaration.id = parent.value
    WHERE declaration.status = 2 AND coalesce(NEW.if_parent_fails, 'cancel') = 'cancel';
    SELECT RAISE(ABORT, 'there is no batch of that name to wait for; declare it first')
    WHERE NEW.after_batch IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM declaration WHERE batch = NEW.after_batch);

    -- From here on nothing can fail, whatever conflict clause the caller's INSERT has.
    INSERT INTO lane (queue, name, priority, directory)
    SELECT queue, name, priority, directory FROM (
        SELECT
            coalesce(NEW.queue, json_extract(spec, '$.queue')) AS queue, name,
            coalesce(NEW.priority, json_extract(spec, '$.priority')) AS priority, directory
        FROM job WHERE job.name = NEW.job AND job.directory = coalesce(NEW.jobs, job.directory)
    ) AS wanted
    WHERE NOT EXISTS (
        SELECT 1 FROM lane WHERE lane.queue = wanted.queue AND lane.name = wanted.name
        AND lane.priority = wanted.priority AND lane.directory = wanted.directory
        AND lane.fields = ''
    );
    INSERT INTO declaration (
        id, lane, declared_at, due_at, payload, retries, retry_after, timeout, label, batch
    )
    SELECT
        NEW.id, lane.id, (julianday('now') - 2440587.5) * 86400.0,
        (SELECT due_at FROM declare WHERE id = NEW.id - 1),
        coalesce(NEW.payload, '{}'),
        coalesce(NEW.retries, json_extract(spec, '$.retries')),
        coalesce(NEW.retry_after, json_extract(spec, '$.retry_after')),
        coalesce(NEW.timeout, json_extract(spec, '$.timeout')),
        NEW.label, NEW.batch
    FROM job JOIN lane ON lane.queue = coalesce(NEW.queue, json_extract(spec, '$.queue'))
        AND lane.name = job.name
        AND lane.priority = coalesce(NEW.priority, json_extract(spec, '$.priority'))
        AND lane.directory = job.directory AND lane.fields = ''
    WHERE job.name = NEW.job AND job.directory = coalesce(NEW.jobs, job.directory);
    INSERT INTO coalescing (declaration, name, directory, key)
    SELECT NEW.id, lane.name, lane.directory, NEW.coalesce
    FROM declaration JOIN lane ON lane.id = declaration.lane
    WHERE NEW.coalesce IS NOT NULL AND declaration.id = NEW.id;
    INSERT INTO expiry (declaration, expires_at)
    SELECT NEW.id, CASE typeof(NEW.expires_at)
        WHEN 'text' THEN round((julianday(NEW.expires_at) - 2440587.5) * 86400.0, 3)
        ELSE NEW.expires_at END
    WHERE NEW.expires_at IS NOT NULL;

    INSERT INTO dependency (child, parent, if_fails, met)
    SELECT DISTINCT NEW.id, parent.id, coalesce(NEW.if_parent_fails, 'cancel'),
        parent.status = 1 OR (parent.status = 2 AND NEW.if_parent_fails = 'run')
    FROM json_each(NEW.after) AS named JOIN declaration AS parent ON parent.id = named.value;
    INSERT INTO successor (declaration, batch)
    SELECT NEW.id, NEW.after_batch WHERE NEW.after_batch IS NOT NULL;
    UPDATE successor SET (completed, failed, latest) = (
        SELECT coalesce(sum(status = 1), 0), coalesce(sum(status = 2), 0), coalesce(max(id), 0)
        FROM declaration WHERE batch = NEW.after_batch AND id > (
            SELECT coalesce(max(latest), 0) FROM successor WHERE batch = NEW.after_batch
        )
    )
    WHERE declaration = NEW.id AND NOT EXISTS (
        SELECT 1 FROM declaration AS other
        WHERE other.batch = NEW.after_batch AND other.status = 0 AND NOT EXISTS (
            SELECT 1 FROM successor WHERE declaration = other.id AND batch = NEW.after_batch
                AND completed IS NULL
        )
    );
    INSERT INTO blocked (declaration, lane, held)
    SELECT id, lane, coalesce(NEW.hold, 0) FROM declaration
    WHERE id = NEW.id AND (
        NEW.hold OR EXISTS (SELECT 1 FROM dependency WHERE child = NEW.id AND NOT met)
        OR EXISTS (SELECT 1 FROM successor WHERE declaration = NEW.id AND completed IS NULL)
    );
    INSERT INTO pending (lane, due_at, declaration)
    SELECT lane, due_at, id FROM declaration
    WHERE id = NEW.id AND NOT EXISTS (SELECT 1 FROM blocked WHERE declaration = NEW.id);
    UPDATE lane SET pending = pending + 1
    WHERE id = (SELECT lane FROM declaration WHERE id = NEW.id);

    DELETE FROM declare WHERE id = NEW.id;
    UPDATE declare SET id = NEW.id;
END;

-- What became of every job, for plain SQL. A job that has not ended and stands in no queue, and is
-- not kept out of one, is in a worker's hands, or waits to be resolved.
CREATE VIEW report AS
SELECT
    declaration.id, lane.name AS job, lane.queue,
    CASE
        WHEN declaration.status = 1 THEN 'completed'
        WHEN declaration.status = 2 THEN 'failed'
        WHEN EXISTS (
            SELECT 1 FROM pending WHERE pending.lane = declaration.lane
                AND pending.due_at = declaration.due_at AND pending.declaration = declaration.id
        ) OR EXISTS (
            SELECT 1 FROM blocked WHERE blocked.declaration = declaration.id
        ) THEN 'pending'
        ELSE 'processing' END AS status,
    lane.priority, declaration.label, declaration.batch, declaration.payload, declaration.result,
    CASE WHEN declaration.status <> 1 THEN (
        SELECT error FROM attempt WHERE attempt.declaration = declaration.id
        ORDER BY number DESC LIMIT 1
    ) END AS error,
    declaration.declared_at, declaration.due_at,
    coalesce(
        (SELECT started_at FROM running WHERE running.declaration = declaration.id),
        (SELECT started_at FROM awaiting WHERE awaiting.declaration = declaration.id),
        declaration.started_at
    ) AS started_at,
    declaration.finished_at, declaration.attempt AS attempts,
    (SELECT bytes FROM cut_result WHERE cut_result.declaration = declaration.id) AS cut_bytes
FROM declaration JOIN lane ON lane.id = declaration.lane;

-- Claimed declarations that are to stand still, and since when. A row counts for the claim of that
-- token only.
CREATE TABLE suspension (
    declaration INTEGER PRIMARY KEY,
    token INTEGER NOT NULL,
    since REAL NOT NULL
) STRICT;

-- What a worker has given back, since its payload does not fit the class that the worker has loaded,
-- waits in a lane apart, with all whose payloads have the same fields: the worker leaves that out,
-- others need not. `fields` is empty for all other lanes.
CREATE TABLE old_lane AS SELECT * FROM lane;
DROP TABLE lane;

CREATE TABLE lane (
    id INTEGER PRIMARY KEY,
    queue TEXT NOT NULL CHECK (length(queue) BETWEEN 1 AND 255),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    priority INTEGER NOT NULL CHECK (priority BETWEEN -1000 AND 1000),
    pending INTEGER NOT NULL DEFAULT 0 CHECK (pending >= 0),
    processing INTEGER NOT NULL DEFAULT 0 CHECK (processing >= 0),
    completed INTEGER NOT NULL DEFAULT 0 CHECK (completed >= 0),
    failed INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0),
    directory TEXT NOT NULL DEFAULT '',
    fields TEXT NOT NULL DEFAULT '',
    UNIQUE (queue, name, priority, directory, fields)
) STRICT;

INSERT INTO lane (id, queue, name, priority, pending, processing, completed, failed, directory)
SELECT id, queue, name, priority, pending, processing, completed, failed, directory FROM old_lane;

DROP TABLE old_lane;

-- The lanes that a worker leaves out until it has loaded the job files anew, and why.
CREATE TABLE refusal (
    worker INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (worker, lane)
) STRICT, WITHOUT ROWID;

-- Declarations that an outside party is to resolve, until some moment if there is one: processing,
-- and in no claim. The token is that of the attempt, if the job has asked for it.
ALTER TABLE lane ADD COLUMN awaiting INTEGER NOT NULL DEFAULT 0 CHECK (awaiting >= 0);
CREATE TABLE awaiting (
    declaration INTEGER PRIMARY KEY,
    lane INTEGER NOT NULL,
    token TEXT,
    started_at REAL NOT NULL,
    since REAL NOT NULL,
    until REAL
) STRICT;
CREATE INDEX awaiting_lane ON awaiting (lane, declaration);
CREATE INDEX awaiting_until ON awaiting (until) WHERE until IS NOT NULL;

-- What declarations were resolved with, as JSON, until an attempt has used it.
CREATE TABLE answer (
    declaration INTEGER PRIMARY KEY,
    data TEXT NOT NULL,
    token TEXT
) STRICT;

-- Jobs whose classes want to hear of an end, by their workers' word.
CREATE TABLE hooked (
    name TEXT NOT NULL,
    directory TEXT NOT NULL,
    PRIMARY KEY (name, directory)
) STRICT, WITHOUT ROWID;

-- Ended declarations of such jobs that have not heard of it: what they were before, and the token
-- of the claim under which a worker is about to tell them.
CREATE TABLE untold (
    declaration INTEGER PRIMARY KEY,
    was TEXT NOT NULL,
    token INTEGER,
    tries INTEGER NOT NULL DEFAULT 0
) STRICT;

-- What a job calls itself, if its class says.
CREATE TABLE description (
    declaration INTEGER PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;

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
