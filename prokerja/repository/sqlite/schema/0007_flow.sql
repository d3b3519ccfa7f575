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

-- Who is told of what. By workers' settings, whose rules stay when they leave, for the next worker
-- to strike out; and the rules of single declarations. All rules are JSON.
CREATE TABLE notice_rule (
    worker INTEGER NOT NULL,
    kind TEXT NOT NULL,                  -- failed, completed, worker_down or queue_stuck
    rule TEXT NOT NULL,
    PRIMARY KEY (worker, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX notice_kind ON notice_rule (kind);
CREATE TABLE on_failure (declaration INTEGER PRIMARY KEY, rule TEXT NOT NULL) STRICT;

-- What has happened of which nobody has been told, written with what has happened. A worker turns
-- it into notices, in one transaction. `rule` is its own, if it has any.
CREATE TABLE happening (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    facts TEXT NOT NULL,                 -- JSON
    name TEXT,                           -- of the job, and its directory, if it is about one
    directory TEXT,
    rule TEXT
) STRICT;

-- Rules by which there has been a notice lately, so that the next one gathers what happens until
-- some moment: how many so far, and the first of them, a JSON array.
CREATE TABLE gathering (
    kind TEXT NOT NULL,
    rule TEXT NOT NULL,
    until REAL NOT NULL,
    count INTEGER NOT NULL,
    facts TEXT NOT NULL,
    PRIMARY KEY (kind, rule)
) STRICT, WITHOUT ROWID;

-- Queues that have been told of, by which rule, and are still stuck.
CREATE TABLE stuck (
    queue TEXT NOT NULL,
    rule TEXT NOT NULL,
    PRIMARY KEY (queue, rule)
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

-- What the classes of jobs say of their flow holds for those that are declared in SQL, too.
--
-- While a row is being declared, the marker keeps what is worked out on the way, in columns that it
-- has no use for: the directory, the queue and the priority in theirs, and the flow's id in
-- `retries`. If the class may say anything of a flow, `payload` is what is known of the class, and
-- `label` a JSON object of the flow's keys, with the values of the fields in them.
CREATE VIEW declared_flow AS
SELECT
    id AS marker,
    coalesce(
        json_extract(label, '$.limit_key'),
        iif(json_extract(payload, '$.flow.limit'), json_extract(payload, '$.name'), '')
    ) AS limit_key,
    coalesce(json_extract(payload, '$.flow.limit'), 0) AS max_running,
    coalesce(
        json_extract(label, '$.rate_key'),
        iif(json_extract(payload, '$.flow.rate[0]'), json_extract(payload, '$.name'), '')
    ) AS rate_key,
    coalesce(json_extract(payload, '$.flow.rate[0]'), 0) AS max_starts,
    coalesce(json_extract(payload, '$.flow.rate[1]'), 0.0) AS rate_seconds,
    coalesce(json_extract(payload, '$.flow.needs'), '{}') AS needs,
    coalesce(json_extract(label, '$.fair_key'), '') AS fair_key
FROM declare;

CREATE TRIGGER declare_flow AFTER UPDATE OF payload ON declare WHEN NEW.payload IS NOT NULL
BEGIN
    SELECT RAISE(ABORT,
        'an option of the job is computed in its file; start a worker once, or write it out there')
    FROM json_each(NEW.payload, '$.unsure') WHERE value IN (
        'limit_key', 'limit', 'lock', 'rate', 'rate_key', 'needs', 'fair_key'
    );
    SELECT RAISE(ABORT, 'the job has a key, and no limit or rate for it; add that to its class')
    FROM json_each('["limit", "rate"]') AS of
    WHERE json_type(NEW.payload, '$.flow.' || of.value || '_key') IS NOT NULL
        AND json_type(NEW.payload, '$.flow.' || of.value) IS NULL;
    -- The parts of a key are texts and names of fields in turns. A field may have a default.
    UPDATE declare SET label = (
        SELECT json_group_object(kind.key, (
            SELECT iif(count(*) = count(text), group_concat(text, ''), NULL) FROM (
                SELECT CASE part.key % 2 WHEN 0 THEN part.value ELSE (
                    SELECT iif(given.type IN ('null', 'true', 'false'), given.type, given.value)
                    FROM (
                        SELECT 0 AS place, key, type, value
                        FROM json_each((SELECT payload FROM declare WHERE id = NEW.id + 1))
                        UNION ALL
                        SELECT 1, json_extract(value, '$.name'), json_type(value, '$.default'),
                            json_extract(value, '$.default')
                        FROM json_each(NEW.payload, '$.fields')
                        WHERE NOT json_extract(value, '$.required')
                            AND json_extract(value, '$.default_text') <> '...'
                    ) AS given WHERE given.key = part.value ORDER BY place LIMIT 1
                ) END AS text
                FROM json_each(kind.value) AS part
            )
        ))
        FROM json_each(NEW.payload, '$.flow') AS kind
        WHERE kind.key IN ('limit_key', 'rate_key', 'fair_key')
    ) WHERE id = NEW.id;
    SELECT CASE
        WHEN key.type = 'null'
        THEN RAISE(ABORT, 'a key of the job is made of a field that the payload lacks; give it')
        WHEN length(key.value) NOT BETWEEN 1 AND 255 OR instr(key.value, char(0))
            OR key.value GLOB '*[' || char(1) || '-' || char(31, 127) || ']*'
        THEN RAISE(ABORT, 'a key of the job needs 1 to 255 characters, none of them a control one')
    END
    FROM declare AS marker JOIN json_each(marker.label) AS key WHERE marker.id = NEW.id;
    INSERT INTO flow (
        limit_key, max_running, rate_key, max_starts, rate_seconds, needs, fair_key
    )
    SELECT limit_key, max_running, rate_key, max_starts, rate_seconds, needs, fair_key
    FROM declared_flow AS asked
    WHERE asked.marker = NEW.id AND json_type(NEW.payload, '$.flow') IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM flow WHERE flow.limit_key = asked.limit_key
            AND flow.max_running = asked.max_running AND flow.rate_key = asked.rate_key
            AND flow.max_starts = asked.max_starts AND flow.rate_seconds = asked.rate_seconds
            AND flow.needs = asked.needs AND flow.fair_key = asked.fair_key
    );
    UPDATE declare SET retries = coalesce((
        SELECT flow.id FROM declared_flow AS asked CROSS JOIN flow
        WHERE asked.marker = NEW.id AND flow.limit_key = asked.limit_key
            AND flow.max_running = asked.max_running AND flow.rate_key = asked.rate_key
            AND flow.max_starts = asked.max_starts AND flow.rate_seconds = asked.rate_seconds
            AND flow.needs = asked.needs AND flow.fair_key = asked.fair_key
    ), 0)
    WHERE id = NEW.id;
END;

DROP TRIGGER declare_new;

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

    UPDATE declare SET (jobs, queue, priority, retries, payload) = (
        SELECT directory, coalesce(NEW.queue, json_extract(spec, '$.queue')),
            coalesce(NEW.priority, json_extract(spec, '$.priority')), 0,
            iif(coalesce(json_type(spec, '$.flow'), json_type(spec, '$.unsure')) IS NULL, NULL, spec)
        FROM job WHERE job.name = NEW.job AND job.directory = coalesce(NEW.jobs, job.directory)
    ) WHERE id = NEW.id - 1;

    -- From here on nothing can fail, whatever conflict clause the caller's INSERT has.
    INSERT INTO lane (queue, name, priority, directory, flow)
    SELECT queue, NEW.job, priority, jobs, retries FROM declare AS wanted
    WHERE wanted.id = NEW.id - 1 AND NOT EXISTS (
        SELECT 1 FROM lane WHERE lane.queue = wanted.queue AND lane.name = NEW.job
        AND lane.priority = wanted.priority AND lane.directory = wanted.jobs
        AND lane.fields = '' AND lane.flow = wanted.retries
    );
    INSERT INTO declaration (
        id, lane, declared_at, due_at, payload, retries, retry_after, timeout, label, batch
    )
    SELECT
        NEW.id, lane.id, (julianday('now') - 2440587.5) * 86400.0, wanted.due_at,
        coalesce(NEW.payload, '{}'),
        coalesce(NEW.retries, json_extract(spec, '$.retries')),
        coalesce(NEW.retry_after, json_extract(spec, '$.retry_after')),
        coalesce(NEW.timeout, json_extract(spec, '$.timeout')),
        NEW.label, NEW.batch
    FROM declare AS wanted CROSS JOIN job ON job.name = NEW.job AND job.directory = wanted.jobs
    CROSS JOIN lane ON lane.queue = wanted.queue AND lane.name = NEW.job
        AND lane.priority = wanted.priority AND lane.directory = wanted.jobs
        AND lane.fields = '' AND lane.flow = wanted.retries
    WHERE wanted.id = NEW.id - 1;
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
    UPDATE declare SET
        id = NEW.id, jobs = NULL, queue = NULL, priority = NULL, retries = NULL, payload = NULL,
        label = NULL;
END;

-- Every job file is read again: classes may say what was no option before.
UPDATE source SET stamp = '';

-- What has happened, in the order in which it was committed: a row for what one transaction has done
-- of a kind, as JSON. Declarations have no rows. Those up to `last_id` came before the row, those
-- above it after. The last row stays, so that no number is used again.
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    last_id INTEGER NOT NULL,
    data TEXT NOT NULL
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
