-- What people call a declaration, if they gave it a label; how often it has asked for a later
-- attempt since its last fresh start; and the exit code of an attempt that ran a command, below
-- zero for the number of the signal that killed it.
ALTER TABLE declaration ADD COLUMN label TEXT;
CREATE INDEX labelled ON declaration (label) WHERE label IS NOT NULL;
ALTER TABLE declaration ADD COLUMN postponed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempt ADD COLUMN exit_code INTEGER;

-- The door for one declaration: a single statement writes its row, queues it and counts it.
-- The next migration closes it, and makes one with its own number.
CREATE VIEW register_4 AS
SELECT id, lane, declared_at, due_at, payload, retries, retry_after, timeout, label
FROM declaration;

CREATE TRIGGER register_one INSTEAD OF INSERT ON register_4
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
