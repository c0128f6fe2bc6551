-- A local run (`orchestrator run`) is done by the process that started it, with that process's models and
-- rules: no other process on the same database may take its jobs, and it takes nobody else's.
ALTER TABLE tasks ADD COLUMN run_id uuid;           -- NULL: a task of the deployment
ALTER TABLE jobs ADD COLUMN run_id uuid;            -- that of its task
CREATE INDEX tasks_run ON tasks (run_id) WHERE run_id IS NOT NULL;
