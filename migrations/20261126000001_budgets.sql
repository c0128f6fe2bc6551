-- What is set aside for model calls that are under way, so that calls at the same time, also of several
-- processes, cannot all have the last of a budget. A row goes when its call was written down; one whose process
-- died counts until `until`.
CREATE TABLE model_reservations (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id         uuid NOT NULL REFERENCES tasks (id),
    tokens          bigint NOT NULL,
    cost_micro_usd  bigint NOT NULL,
    until           timestamptz NOT NULL
);
CREATE INDEX model_reservations_task ON model_reservations (task_id);
