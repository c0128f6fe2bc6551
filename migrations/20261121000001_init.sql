-- Webhook deliveries, exactly as they came. Kept: they are the record of what GitHub told us.
CREATE TABLE deliveries (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    guid            text NOT NULL UNIQUE,           -- X-GitHub-Delivery; a redelivery keeps it
    event           text NOT NULL,                  -- X-GitHub-Event
    payload         bytea NOT NULL,                 -- the raw body
    status          text NOT NULL CHECK (status IN ('received', 'handled', 'ignored', 'malformed')),
    note            text,                           -- why it was ignored, or what is wrong with it
    received_at     timestamptz NOT NULL DEFAULT now(),
    handled_at      timestamptz
);
CREATE INDEX deliveries_malformed ON deliveries (received_at) WHERE status = 'malformed';

-- Where the App may work, from installation webhooks and from the payloads of others.
CREATE TABLE repositories (
    id              bigint PRIMARY KEY,             -- GitHub's id
    installation_id bigint NOT NULL,
    full_name       text NOT NULL,
    removed_at      timestamptz,
    updated_at      timestamptz NOT NULL DEFAULT now()
);

-- A piece of work. `data` is the whole task; the columns beside it are what queries ask for.
CREATE TABLE tasks (
    id              uuid PRIMARY KEY,
    repository_id   bigint,                         -- NULL: a local run
    issue_number    bigint,
    pull_request    bigint,
    ordinal         integer NOT NULL,
    revision        integer NOT NULL,               -- of the plan that made it, for ordinals above 1
    state           text NOT NULL,
    version         bigint NOT NULL,
    data            jsonb NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL DEFAULT now()
);
-- One task reads an issue; several labellings at once make one.
CREATE UNIQUE INDEX tasks_one_reader ON tasks (repository_id, issue_number) WHERE ordinal = 1;
CREATE INDEX tasks_issue ON tasks (repository_id, issue_number);
CREATE INDEX tasks_pull_request ON tasks (repository_id, pull_request);
CREATE INDEX tasks_state ON tasks (state);

-- What happened to a task, in order.
CREATE TABLE transitions (
    task_id         uuid NOT NULL REFERENCES tasks (id),
    version         bigint NOT NULL,
    event           text NOT NULL,
    detail          jsonb NOT NULL,
    state           text NOT NULL,                  -- after it
    state_detail    jsonb NOT NULL,
    at              timestamptz NOT NULL,
    PRIMARY KEY (task_id, version)
);
CREATE INDEX transitions_at ON transitions (at);

-- Everything that is to be done: ingesting, stages, effects, schedules. A row is leased by one
-- worker at a time; `fence` counts leases, and a write of a worker whose fence is old is refused.
CREATE TABLE jobs (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key             text NOT NULL UNIQUE,
    kind            text NOT NULL CHECK (kind IN ('ingest', 'stage', 'effect', 'wait', 'schedule')),
    lane            text NOT NULL,                  -- jobs of a lane are done one after the other, by id
    task_id         uuid REFERENCES tasks (id),
    repository_id   bigint,
    payload         jsonb NOT NULL,
    state           text NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'done', 'refused', 'cancelled')),
    run_at          timestamptz NOT NULL DEFAULT now(),
    attempts        integer NOT NULL DEFAULT 0,
    lease_owner     text,
    lease_until     timestamptz,
    fence           bigint NOT NULL DEFAULT 0,
    last_error      text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz
);
CREATE INDEX jobs_ready ON jobs (kind, run_at, id) WHERE state = 'ready';
CREATE INDEX jobs_lane ON jobs (lane, id) WHERE state = 'ready';
CREATE INDEX jobs_task ON jobs (task_id);

-- What the stages made: gate reports, reviews, patches, commits, transcripts.
CREATE TABLE artifacts (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id         uuid NOT NULL REFERENCES tasks (id),
    kind            text NOT NULL,
    -- The task's version when the stage began: running a stage again replaces what it made.
    version         bigint NOT NULL,
    name            text NOT NULL,
    body            bytea NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (task_id, kind, version, name)
);

-- Every model call and what it cost.
CREATE TABLE model_calls (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id         uuid REFERENCES tasks (id),
    stage           text NOT NULL,
    role            text NOT NULL,
    model           text NOT NULL,
    input_tokens    bigint NOT NULL,
    cached_tokens   bigint NOT NULL,
    output_tokens   bigint NOT NULL,
    cost_micro_usd  bigint NOT NULL,
    latency_ms      bigint NOT NULL,
    stop_reason     text,
    error           text,
    at              timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX model_calls_task ON model_calls (task_id);
CREATE INDEX model_calls_at ON model_calls (at);

-- Workers sleep until there is something to do: a new job, or the end of one that others waited for.
CREATE FUNCTION jobs_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('jobs', '');
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_notify AFTER INSERT OR UPDATE OF state ON jobs FOR EACH STATEMENT EXECUTE FUNCTION jobs_notify();
