-- Stores deliveries and, for each well-formed one, the job that will handle it: one statement, one commit.
-- Returns the guids that were not there before.
WITH delivery AS (
    INSERT INTO deliveries (guid, event, payload, status, note)
    SELECT guid, event, payload, CASE WHEN fault IS NULL THEN 'received' ELSE 'malformed' END, fault
    FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[]) AS arrived (guid, event, payload, fault)
    ON CONFLICT (guid) DO NOTHING
    RETURNING id, guid, status
), job AS (
    INSERT INTO jobs (key, kind, lane, payload)
    SELECT 'ingest/' || guid, 'ingest', 'ingest/' || guid, jsonb_build_object('work', 'ingest', 'delivery', id)
    FROM delivery WHERE status = 'received'
)
SELECT guid FROM delivery
