"""Rows that take their time to be written, so that something else happens meanwhile however busy the machine is."""

AS_SLOW_AS_TOLD = """;
    CREATE TABLE pace (seconds float); INSERT INTO pace VALUES (0.003);
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
      $$BEGIN PERFORM pg_sleep(seconds) FROM pace WHERE seconds > 0; RETURN NULL; END$$;
    CREATE TRIGGER slows AFTER UPDATE ON books FOR EACH ROW EXECUTE FUNCTION slow();
"""
"""Table books with a trigger that waits for so many seconds at each row as table pace says."""
