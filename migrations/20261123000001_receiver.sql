-- What a burst of webhooks costs. docs/benchmarks.md has the measurements.

-- Payloads are JSON of ten kilobytes and more, and compressing them is most of the work of storing them:
-- lz4 needs a quarter of the time for the same size. It came with PostgreSQL 14, and a server may be built
-- without it; there the payloads are compressed as before.
DO $$
BEGIN
    EXECUTE 'ALTER TABLE deliveries ALTER COLUMN payload SET COMPRESSION lz4';
EXCEPTION WHEN feature_not_supported OR syntax_error OR invalid_parameter_value THEN
    RAISE NOTICE 'no lz4 here: %', SQLERRM;
END $$;

-- A notification now names the kind of job that was added, so that only workers of that kind look; an empty
-- one is for all. A transaction that notifies holds one lock of the whole server until its commit is on the
-- disk, so commits that notify queue up behind each other. The end of an ingest job has nobody to tell,
-- since its lane is its own: it stays silent.
DROP TRIGGER jobs_notify ON jobs;
DROP FUNCTION jobs_notify();
CREATE FUNCTION jobs_notify_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('jobs', kind) FROM (SELECT DISTINCT kind FROM added) AS kinds;
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_notify_added AFTER INSERT ON jobs
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION jobs_notify_added();
CREATE FUNCTION jobs_notify_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('jobs', '');
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_notify_ended AFTER UPDATE OF state ON jobs
    FOR EACH ROW WHEN (NEW.kind <> 'ingest') EXECUTE FUNCTION jobs_notify_ended();
