-- What each call was made with and how its numbers came about.
ALTER TABLE model_calls ADD COLUMN prompt_name text;        -- NULL: no prompt file was used
ALTER TABLE model_calls ADD COLUMN prompt_version integer;
ALTER TABLE model_calls ADD COLUMN prompt_source text;      -- embedded, a file of the deployment, or path and commit
ALTER TABLE model_calls ADD COLUMN attempt integer NOT NULL DEFAULT 1;
-- A part of input_tokens.
ALTER TABLE model_calls ADD COLUMN cache_written_tokens bigint NOT NULL DEFAULT 0;
ALTER TABLE model_calls ADD COLUMN accounting text;         -- reported, estimated, nothing; NULL: of an older version

-- What was said. A conversation with tools says all of it again in every call, so that each message is kept once for
-- its task and calls name them in order. Texts go after some days (`retention.model_texts_days`), calls stay, and so
-- nothing refers to a text by more than its number.
CREATE TABLE model_texts (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id         uuid NOT NULL REFERENCES tasks (id),
    digest          bytea NOT NULL,
    body            bytea NOT NULL,                         -- JSON, gzip
    created_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (task_id, digest)
);
CREATE INDEX model_texts_created_at ON model_texts (created_at);
-- It is compressed already.
ALTER TABLE model_texts ALTER COLUMN body SET STORAGE EXTERNAL;

ALTER TABLE model_calls ADD COLUMN system_text bigint;
ALTER TABLE model_calls ADD COLUMN means_text bigint;       -- tools, and the form of the answer
ALTER TABLE model_calls ADD COLUMN message_texts bigint[] NOT NULL DEFAULT '{}';
ALTER TABLE model_calls ADD COLUMN answer_text bigint;
