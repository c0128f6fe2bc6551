-- Times that a job was given back in order, to be tried again. Leases that ended without that word are those
-- of processes that died at it: a job that kills its process is told from one whose server is away.
ALTER TABLE jobs ADD COLUMN set_down integer NOT NULL DEFAULT 0;
