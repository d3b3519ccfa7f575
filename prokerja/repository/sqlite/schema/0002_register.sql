-- The door for one declaration: a single statement writes its row, queues it and counts it.
-- The next migration closes it, and makes one with its own number.
CREATE VIEW register_2 AS
SELECT id, lane, declared_at, due_at, payload, retries, retry_after, timeout FROM declaration;

CREATE TRIGGER register_one INSTEAD OF INSERT ON register_2
BEGIN
    INSERT INTO declaration (id, lane, declared_at, due_at, payload, retries, retry_after, timeout)
    VALUES (
        NEW.id, NEW.lane, NEW.declared_at, NEW.due_at, NEW.payload, NEW.retries, NEW.retry_after,
        NEW.timeout
    );
    INSERT INTO pending (lane, due_at, declaration) VALUES (NEW.lane, NEW.due_at, NEW.id);
    UPDATE lane SET pending = pending + 1 WHERE id = NEW.lane;
END;
