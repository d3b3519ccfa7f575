-- A declaration belongs to the jobs directory that it was checked against: two projects may share a
-- file, and a job's name. A directory is an absolute path, as it was given; empty for any, which is
-- what every declaration was before.
--
-- `lane` is made anew for the sake of its UNIQUE, and is what it was to those who do not know the
-- column: they find the lanes of no directory, which come first in the index.
DROP VIEW declare;

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
    UNIQUE (queue, name, priority, directory)
) STRICT;

INSERT INTO lane (id, queue, name, priority, pending, processing, completed, failed)
SELECT id, queue, name, priority, pending, processing, completed, failed FROM old_lane;

DROP TABLE old_lane;

-- The directories whose jobs a worker takes, a JSON array; those of no directory are everybody's.
ALTER TABLE worker ADD COLUMN directories TEXT NOT NULL DEFAULT '[]';

CREATE TABLE old_catalog AS SELECT * FROM catalog;
DROP TABLE catalog;

-- What the jobs were when the files of a directory were last read; two files may hold one name.
CREATE TABLE catalog (
    directory TEXT NOT NULL,
    name TEXT NOT NULL,
    file TEXT NOT NULL,
    spec TEXT NOT NULL,
    PRIMARY KEY (directory, name, file)
) STRICT, WITHOUT ROWID;

INSERT INTO catalog (directory, name, file, spec) SELECT '', name, file, spec FROM old_catalog;

DROP TABLE old_catalog;

-- What a file was when it was last read; empty if it may have changed in that very moment.
DROP TABLE source;
CREATE TABLE source (
    directory TEXT NOT NULL,
    file TEXT NOT NULL,
    stamp TEXT NOT NULL,
    PRIMARY KEY (directory, file)
) STRICT, WITHOUT ROWID;

-- The jobs of each directory: of two files that hold one name, a worker takes the first.
CREATE VIEW job AS
SELECT directory, name, file, spec FROM (
    SELECT *, row_number() OVER (
        PARTITION BY directory, name ORDER BY file <> directory || '/__init__.py', file
    ) AS place FROM catalog
) WHERE place = 1;

-- The door for one declaration: a single statement writes its row, queues it and counts it.
-- The next migration closes it, and makes one with its own number.
CREATE VIEW register_3 AS
SELECT id, lane, declared_at, due_at, payload, retries, retry_after, timeout FROM declaration;

CREATE TRIGGER register_one INSTEAD OF INSERT ON register_3
BEGIN
    INSERT INTO declaration (id, lane, declared_at, due_at, payload, retries, retry_after, timeout)
    VALUES (
        NEW.id, NEW.lane, NEW.declared_at, NEW.due_at, NEW.payload, NEW.retries, NEW.retry_after,
        NEW.timeout
    );
    INSERT INTO pending (lane, due_at, declaration) VALUES (NEW.lane, NEW.due_at, NEW.id);
    UPDATE lane SET pending = pending + 1 WHERE id = NEW.lane;
END;

-- The door for plain SQL, as before, but that `jobs` may say from which directory.
CREATE VIEW declare AS
SELECT
    declaration.id, lane.name AS job, declaration.payload, lane.queue, lane.priority,
    declaration.due_at, declaration.retries, declaration.retry_after, declaration.timeout,
    lane.directory AS jobs
FROM declaration JOIN lane ON lane.id = declaration.lane;

CREATE TRIGGER declare_job INSTEAD OF INSERT ON declare
BEGIN
    SELECT RAISE(ABORT, 'unknown job; `prokerja jobs` lists those there are')
    WHERE NOT EXISTS (
        SELECT 1 FROM job WHERE name = NEW.job AND directory = coalesce(NEW.jobs, directory)
    );
    SELECT RAISE(ABORT, 'several directories have a job of that name; say in the column jobs which')
    WHERE 1 < (
        SELECT count(*) FROM job WHERE name = NEW.job AND directory = coalesce(NEW.jobs, directory)
    );
    SELECT RAISE(ABORT, 'the job is partly computed in its file; start a worker once')
    FROM job JOIN json_each(job.spec, '$.unsure') AS unsure
    WHERE job.name = NEW.job AND job.directory = coalesce(NEW.jobs, job.directory)
        AND unsure.value IN ('name', 'fields');
    SELECT RAISE(ABORT,
        'an option of the job is computed in its file; start a worker once, or give it here')
    FROM job JOIN json_each(job.spec, '$.unsure') AS unsure
    WHERE job.name = NEW.job AND job.directory = coalesce(NEW.jobs, job.directory)
        AND CASE unsure.value
            WHEN 'queue' THEN NEW.queue IS NULL
            WHEN 'priority' THEN NEW.priority IS NULL
            WHEN 'retries' THEN NEW.retries IS NULL
            WHEN 'retry_after' THEN NEW.retry_after IS NULL
            WHEN 'timeout' THEN NEW.timeout IS NULL END;
    SELECT RAISE(ABORT, 'the payload is larger than 1 MiB; pass the path of a file instead')
    WHERE length(CAST(NEW.payload AS BLOB)) > 1048576;
    SELECT RAISE(ABORT, 'the payload is no JSON object; write it like {"n": 1}')
    WHERE NEW.payload IS NOT NULL
        AND CASE WHEN typeof(NEW.payload) = 'text' AND json_valid(NEW.payload)
            AND instr(CAST(NEW.payload AS BLOB), x'00') = 0
            THEN json_type(NEW.payload) IS NOT 'object' ELSE 1 END;
    SELECT RAISE(ABORT, 'the payload has a field that the job does not take; see `prokerja jobs`')
    FROM job JOIN json_each(coalesce(NEW.payload, '{}')) AS given
    WHERE job.name = NEW.job AND job.directory = coalesce(NEW.jobs, job.directory)
        AND NOT json_extract(job.spec, '$.open') AND given.key NOT IN (
            SELECT json_extract(field.value, '$.name') FROM json_each(job.spec, '$.fields') AS field
        );
    SELECT RAISE(ABORT, 'the payload lacks a field that the job needs; see `prokerja jobs`')
    FROM job JOIN json_each(job.spec, '$.fields') AS field
    WHERE job.name = NEW.job AND job.directory = coalesce(NEW.jobs, job.directory)
        AND json_extract(field.value, '$.required')
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
    FROM job
        JOIN (SELECT (julianday('now') - 2440587.5) * 86400.0 AS now) AS moment
        JOIN lane ON lane.queue = coalesce(NEW.queue, json_extract(spec, '$.queue'))
            AND lane.name = job.name
            AND lane.priority = coalesce(NEW.priority, json_extract(spec, '$.priority'))
            AND lane.directory = job.directory
    WHERE job.name = NEW.job AND job.directory = coalesce(NEW.jobs, job.directory);

    INSERT INTO pending (lane, due_at, declaration)
    SELECT lane, due_at, id FROM declaration WHERE id = (SELECT max(id) FROM declaration);

    UPDATE lane SET pending = pending + 1
    WHERE id = (SELECT lane FROM declaration WHERE id = (SELECT max(id) FROM declaration));
END;
