-- Runs and requests may belong to a session, a repository or the installation, not only to a ticket; repositories, environments and baselines have rows.
-- The sessions of a tenant take turns.

-- A repository that sessions build in. The first session that names it makes the row.
create table repositories (
  seq            integer primary key,
  id             text not null unique default (lower(hex(randomblob(8)))),
  tenant_id      text not null default 'default',
  source         text not null,                           -- url with a lower-case host, without .git and without a login: by this it is known again
  url            text not null,                           -- what git gets
  name           text not null,                           -- as people write it: owner/repo, or the source
  default_branch text,
  state          text not null default 'unknown' check (state in ('unknown', 'reachable', 'unreachable')),
  reason         text,                                    -- what the last look found, one sentence
  settings       text not null default '{}',              -- JSON object: author, sign_off, max_parallel, limits, hooks, without (no environment wanted)
  looked_at      text,
  created_at     text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at     text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  unique (tenant_id, source)
) strict;

-- What the environment of a repository is made of, as a person wrote it or as it was found. Only an approved text ever runs, by its hash.
create table environment_versions (
  seq           integer primary key,
  tenant_id     text not null default 'default',
  repository_id text not null references repositories (id),
  steps         text not null,                            -- canonical JSON object: setup, update, inputs, hosts, env, services, secrets, days
  sha256        text not null,                            -- of steps: what is approved
  source        text not null check (source in ('page', 'workflow', 'detected')),
  found         text not null default '[]',               -- JSON array of {file, used, why}
  state         text not null default 'proposed' check (state in ('proposed', 'approved', 'replaced')),
  approved_by   text,
  approved_at   text,
  created_at    text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) strict;
create index environment_versions_by_repository on environment_versions (repository_id, seq);

-- A snapshot under data/environments/<key>: the ground that sandboxes stand on, or the attempt to make it.
create table environments (
  seq           integer primary key,
  tenant_id     text not null default 'default',
  repository_id text not null references repositories (id),
  key           text not null,                            -- sha256 of all that it is made of
  sha256        text not null,                            -- of the approved steps
  ticket_id     text references tickets (id),             -- null: made of the remote's branch; else of a ticket's commit, and found by it alone
  commit_sha    text not null,                            -- the commit whose tree it was made in
  state         text not null default 'building' check (state in ('building', 'ready', 'failed', 'removed')),
  reason        text,                                     -- one sentence for a person
  seconds       real,
  bytes         integer,
  built_at      text,
  used_at       text,
  run_id        text,
  created_at    text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  unique (tenant_id, repository_id, key)
) strict;

-- What a check said on the base, before any work.
create table baselines (
  seq             integer primary key,
  tenant_id       text not null default 'default',
  repository_id   text not null references repositories (id),
  base_sha        text not null,
  environment_key text not null,                          -- '': without an environment
  command         text not null,
  result          text not null check (result in ('red', 'green', 'cannot_run', 'flaky')),
  exit            integer,                                -- null: it took too long
  output          text not null default '',               -- its last part
  seconds         real not null default 0,
  run_id          text,
  created_at      text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  unique (repository_id, base_sha, environment_key, command)
) strict;

alter table tickets add column waits_for text check (waits_for in ('environment', 'baseline'));
alter table tickets add column environment text;
create index epics_waiting on tickets (session_id) where waits_for is not null;
alter table hitl_sessions add column repository_id text references repositories (id);

-- rebuild
create table runs (
  seq           integer primary key,
  id            text not null unique,
  ticket_id     text references tickets (id),             -- null: its owner is no ticket
  session_id    text,                                     -- of its ticket, or its owner; null: it belongs to no session
  tenant_id     text not null default 'default',
  kind          text not null check (kind in ('prepare', 'feature', 'recheck', 'integrate', 'deliver', 'resolve', 'plan', 'baseline', 'setup',
                                              'install', 'hello')),
  state         text not null default 'intended' check (state = 'intended' or state = 'running' or state = 'queued' or
                                                        state = 'merging' or state = 'ended' or state = 'wanted'),
  claim_token   text not null,                            -- '' while it is wanted: it has no process before an engine claims it
  claimed_by    text not null,
  run_no        integer not null,                         -- counts the runs of its owner
  runtime       text,
  agent         text,
  base_sha      text,
  tip_sha       text,
  merge_group   integer,                                  -- while queued: those of one number are checked together; null: with all others
  checked_by    text,                                     -- the recheck run that checked it on the merged head
  outcome       text check (outcome = 'prepared' or outcome = 'merged' or outcome = 'no_change' or outcome = 'integrated' or
                            outcome = 'delivered' or outcome = 'needs_input' or outcome = 'in_review' or
                            outcome = 'conflict' or outcome = 'failed' or outcome = 'transient' or outcome = 'lost' or
                            outcome = 'void' or outcome = 'over_budget' or outcome = 'cancelled' or outcome = 'stale' or
                            outcome = 'brief' or outcome = 'done'),
  reason        text,                                     -- one sentence for a person
  detail        text,                                     -- what the next prompt needs beside it: the conflict, the tail of the log
  checks        text,                                     -- JSON array, written by the runner
  phases        text,                                     -- JSON object: phase -> milliseconds
  vm            text,                                     -- JSON object: what its virtual machines were; null: it had none
  said          text,                                     -- JSON object, what its agent said of itself: session, tokens, message
  usage         text,                                     -- JSON object, of models and of the network; null: it had no gateway
  created_at    text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  started_at    text,
  ended_at      text,
  owner_kind    text not null default 'ticket' check (owner_kind in ('ticket', 'session', 'repository', 'installation')),
  owner         text,                                     -- null: the ticket; of an installation: its tenant
  owner_id      text not null generated always as (coalesce(ticket_id, owner)) virtual,
  task          text,                                     -- JSON object: what a run without a ticket has to do; null for a ticket's run
  cancelled     integer not null default 0 check (cancelled in (0, 1)),  -- a run without a ticket that someone stopped
  environment   text,                                     -- key of the environment that its sandboxes stood on; null: none
  check ((ended_at is null) = (state <> 'ended')),
  check ((outcome is null) = (state <> 'ended')),
  check ((owner_kind = 'ticket') = (ticket_id is not null)),
  check ((owner is null) = (ticket_id is not null)),
  check (owner_kind <> 'session' or session_id = owner)
) strict;
create unique index one_live_run_of_owner on runs (owner_kind, owner, kind) where ticket_id is null and ended_at is null;
create index runs_by_owner on runs (owner_kind, owner, seq) where ticket_id is null;
create index runs_wanted on runs (seq) where state = 'wanted';
create trigger run_wanted after insert on runs when new.state = 'wanted' begin
  insert into events (kind, tenant_id, session_id, run_id, to_state) values ('run', new.tenant_id, new.session_id, new.id, 'wanted');
end;

-- rebuild
-- owner_kind = iif(ticket_id is null, 'session', 'ticket')
-- owner = iif(ticket_id is null, session_id, null)
create table requests (
  seq         integer primary key,
  tenant_id   text not null,
  session_id  text references hitl_sessions (id),         -- null: it belongs to no session
  ticket_id   text references tickets (id),
  run_id      text,
  kind        text not null check (kind in ('question', 'isolation', 'budget', 'review', 'failed', 'delivery', 'environment', 'baseline', 'base',
                                            'permission')),
  body        text not null,
  options     text not null default '[]',                 -- JSON array of strings, the recommended one first
  state       text not null default 'open' check (state in ('open', 'answered', 'withdrawn')),
  answer      text,
  answered_by text,
  answered_at text,
  created_at  text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  owner_kind  text not null default 'ticket' check (owner_kind in ('ticket', 'session', 'repository', 'installation')),
  owner       text,                                       -- null: the ticket
  owner_id    text not null generated always as (coalesce(ticket_id, owner)) virtual,
  check ((owner_kind = 'ticket') = (ticket_id is not null)),
  check ((owner is null) = (ticket_id is not null)),
  check (owner_kind <> 'session' or session_id = owner)
) strict;
create index requests_by_owner on requests (owner_kind, owner, seq) where owner_kind <> 'ticket';

-- A person's draft state of a pull request is left alone; those that are watched were made ready by us.
alter table deliveries add column ready_number integer;
update deliveries set ready_number = number where number is not null and state not in ('opened', 'delivered');

-- Ready tickets are found by their session, and whose turn it was is known.
drop index tickets_ready;
create index tickets_ready on tickets (tenant_id, session_id, priority desc, seq) where status = 'ready';
create table turns (
  tenant_id  text primary key,
  session_id text not null
) strict, without rowid;
create trigger turn_is_kept before insert on runs
when new.tenant_id <>
  (select tenant_id from runs where (kind = 'feature' or kind = 'prepare' or kind = 'integrate') order by seq desc limit 1) begin
  insert into turns select tenant_id, session_id from runs where (kind = 'feature' or kind = 'prepare' or kind = 'integrate') order by seq desc limit 1
  on conflict (tenant_id) do update set session_id = excluded.session_id;
end;
