-- The whole task after each transition, but for the text that was read, so that an effect which is done late
-- speaks of the work that it was asked for, and not of what has become of it since.
ALTER TABLE transitions ADD COLUMN task jsonb;
UPDATE transitions SET task = jsonb_set(tasks.data - 'source', '{state}', transitions.state_detail)
FROM tasks WHERE tasks.id = transitions.task_id;
ALTER TABLE transitions ALTER COLUMN task SET NOT NULL;
ALTER TABLE transitions DROP COLUMN state_detail;
