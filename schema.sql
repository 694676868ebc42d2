-- HITL Swarm: every table, check, index and journal trigger, in reading order.
-- Times are UTC text as strftime('%Y-%m-%dT%H:%M:%fZ','now') writes them. Order is by integer seq, never by time or text id.
-- Checks of what changes often compare one by one: for `in` with more than two values SQLite builds a table each time.
-- The rows may be edited with the sqlite3 shell: nothing here needs a function that only our process has.

create table counters (
  name  text primary key,
  value integer not null
) strict, without rowid;
insert into counters values ('ticket', 0);

-- One row: what holds for the engine wherever it runs.
create table engine_state (
  id         integer primary key check (id = 1),
  paused     integer not null default 0 check (paused in (0, 1)),
  reason     text
) strict;
insert into engine_state (id) values (1);

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

create table hitl_sessions (
  seq             integer primary key,
  id              text not null unique,
  tenant_id       text not null default 'default',
  project_name    text not null,
  description     text not null default '',
  state           text not null default 'draft'
                  check (state in ('draft', 'clarifying', 'review', 'approved', 'building', 'completed', 'failed', 'cancelled')),
  spec_card       text,                                   -- JSON, as it was given; its versions are in spec_versions
  repository      text,                                   -- given with the session; a card's own repository wins
  review          text not null default 'false' check (review in ('true', 'false', 'unchecked')),  -- likewise; a card's own word wins
  spec_version    integer not null default 0,             -- 0: no version yet
  spec_sha256     text,                                   -- of the canonical spec_card
  approved_sha256 text,
  approved_at     text,
  paused          integer not null default 0 check (paused in (0, 1)),
  isolation       text not null default 'required' check (isolation in ('required', 'waived')),
  budget_raises   integer not null default 0,             -- how often a person has raised the budget: each time by as much as the settings say
  reason          text,                                   -- why it failed or was cancelled, one sentence
  created_at      text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at      text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  repository_id   text references repositories (id)       -- of `repository`, or of the card's; null: a repository of its own
) strict;
create index sessions_by_tenant on hitl_sessions (tenant_id, seq);
create index sessions_building on hitl_sessions (seq) where state = 'building';

create table spec_versions (
  session_id text not null references hitl_sessions (id),
  version    integer not null,
  card       text not null,                               -- canonical JSON: keys sorted, compact
  sha256     text not null,
  source     text not null,                               -- 'api', 'page', 'sample', 'interview', 'template', 'amendment', …
  created_at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  primary key (session_id, version)
) strict, without rowid;

-- What a person wrote in the session's conversation, and what it made of the card.
create table messages (
  seq          integer primary key,
  tenant_id    text not null default 'default',
  session_id   text not null references hitl_sessions (id),
  body         text not null,
  from_version integer not null,                          -- of the card, before and after
  to_version   integer not null,
  created_at   text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) strict;
create index messages_by_session on messages (session_id, seq);

-- The interview: one question at a time. An assumed one was skipped: the recommended answer holds until it is revised.
create table questions (
  session_id   text not null references hitl_sessions (id),
  number       integer not null check (number between 1 and 5),
  tenant_id    text not null default 'default',
  topic        text not null check (topic in ('goal', 'features', 'acceptance', 'scope', 'technical', 'repository', 'checks', 'risks')),
  body         text not null,
  options      text not null default '[]',                -- JSON array of strings, the recommended one first
  state        text not null default 'open' check (state in ('open', 'answered', 'assumed', 'withdrawn')),
  answer       text check ((answer is null) = (state in ('open', 'withdrawn'))),
  answered_by  text,
  answered_at  text,
  from_version integer,                                   -- of the card, before and after the answer was written into it
  to_version   integer,
  created_at   text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  primary key (session_id, number),
  unique (session_id, topic)
) strict, without rowid;
create unique index one_open_question on questions (session_id) where state = 'open';

-- A change of the card after its build began, as a delta that a person approves by its hash.
create table amendments (
  seq          integer primary key,
  tenant_id    text not null default 'default',
  session_id   text not null references hitl_sessions (id),
  base_sha256  text not null,                             -- of the card that is being built
  delta        text not null,                             -- canonical JSON {"add", "change", "drop"}
  card         text not null,                             -- the whole card with it
  sha256       text not null,                             -- of {"base_sha256", "delta"}: what is approved
  state        text not null default 'proposed' check (state in ('proposed', 'approved', 'discarded')),
  version      integer check ((version is null) = (state <> 'approved')),  -- of the card that it became
  decided_by   text,
  decided_at   text check ((decided_at is null) = (state = 'proposed')),
  created_at   text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) strict;
create unique index one_proposed_amendment on amendments (session_id) where state = 'proposed';
create index amendments_by_session on amendments (session_id, seq);

create table tickets (
  seq                 integer primary key,
  id                  text not null unique,
  session_id          text not null references hitl_sessions (id),
  tenant_id           text not null default 'default',
  type                text not null check (type = 'feature' or type = 'epic' or type = 'task' or type = 'bug'),
  title               text not null,
  description         text not null default '',
  acceptance_criteria text not null default '[]',         -- JSON array of strings and {"text", "check"}; an epic's are the card's checks
  status              text not null default 'pending'
                      check (status = 'pending' or status = 'blocked' or status = 'ready' or status = 'claimed' or
                             status = 'running' or status = 'needs_input' or status = 'in_review' or status = 'completed' or
                             status = 'failed' or status = 'cancelled'),
  parent_id           text references tickets (id),
  assigned_vm         text,                               -- '<runtime>:<run id>' of its last run
  branch_name         text,                               -- from the begin of its first run; an epic's is the integration branch
  pr_url              text,
  position            integer not null default 0,         -- place in the card, from 1; 0 for an epic
  priority            integer not null default 0,         -- higher is claimed first in its session
  agent               text,                               -- null: as the installation says
  supplied            integer not null default 0 check (supplied in (0, 1)),  -- its commands come with the product (the sample card)
  review              integer not null default 0 check (review in (0, 1)),    -- a person looks at the change before it is merged
  approved_tip        text,                               -- the commit that a person approved; its next run merges it
  run_no              integer not null default 0,         -- counts every run
  failures            integer not null default 0,         -- counts runs that used up an attempt
  conflicts           integer not null default 0,         -- counts merges that did not go through
  transients          integer not null default 0,         -- transient failures in a row
  not_before          text,
  claim_token         text,                               -- the fencing token: every write of a run carries it
  claimed_by          text,
  base_sha            text,                               -- an epic's: what the build stands on; null until prepared
  merged_sha          text,                               -- the commit that was merged
  reason              text,                               -- why it is where it is, one sentence
  created_at          text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at          text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  waits_for           text check (waits_for in ('environment', 'baseline')),  -- an epic's: its features wait for this; null: for nothing
  environment         text                                -- an epic's: key of the environment that its runs stand on; null: none
) strict;
create index tickets_ready on tickets (tenant_id, session_id, priority desc, seq) where status = 'ready';
create index tickets_undone on tickets (status, parent_id) where status not in ('completed', 'cancelled');
create index tickets_by_session on tickets (session_id, seq);
create index epics_waiting on tickets (session_id) where waits_for is not null;
create index tickets_with_criteria on tickets (session_id, seq) where acceptance_criteria <> '[]';

create table ticket_dependencies (
  ticket_id  text not null references tickets (id),
  depends_on text not null references tickets (id),
  primary key (ticket_id, depends_on),
  check (ticket_id <> depends_on)
) strict, without rowid;
create index dependents on ticket_dependencies (depends_on);

-- One attempt at what its owner needs: at a ticket, mostly. Its folder is data/runs/<id> and is never used twice.
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
create unique index one_live_run on runs (ticket_id) where ended_at is null;
create index runs_by_ticket on runs (ticket_id, seq);
create index runs_used on runs (session_id) where usage is not null;
create unique index one_live_run_of_owner on runs (owner_kind, owner, kind) where ticket_id is null and ended_at is null;
create index runs_by_owner on runs (owner_kind, owner, seq) where ticket_id is null;
create index runs_wanted on runs (seq) where state = 'wanted';

-- Whose turn it was: the session of the tenant's newest run, kept when another tenant's run follows. Until then the newest run says it.
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

-- What waits for a person.
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
create index requests_open on requests (tenant_id, seq) where state = 'open';
create index requests_by_ticket on requests (ticket_id, seq);
create index requests_by_session on requests (session_id, seq);
create index requests_by_owner on requests (owner_kind, owner, seq) where owner_kind <> 'ticket';

-- What a person says of single lines of a change, and which of its files they have seen: of the commit that they looked at.
create table review_comments (
  seq        integer primary key,
  tenant_id  text not null,
  ticket_id  text not null references tickets (id),
  tip_sha    text not null,
  path       text not null,                               -- one name for each file, whatever its bytes are: hitl/changes/names.py
  side       text not null check (side in ('L', 'R')),    -- a line before the change, or after it
  line       integer not null check (line > 0),
  quoted     text not null,                               -- that line
  body       text not null,
  state      text not null default 'draft' check (state in ('draft', 'sent')),
  created_at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  sent_at    text check ((sent_at is null) = (state = 'draft'))
) strict;
create unique index one_draft on review_comments (ticket_id, tip_sha, path, side, line) where state = 'draft';
create index comments_by_ticket on review_comments (ticket_id, seq);

create table review_viewed (
  ticket_id text not null references tickets (id),
  tip_sha   text not null,
  path      text not null,
  primary key (ticket_id, tip_sha, path)
) strict, without rowid;

-- What a person did about one ticket. A message stands in the prompts of the runs that begin after it.
create table ticket_steers (
  seq        integer primary key,
  tenant_id  text not null,
  session_id text not null references hitl_sessions (id),
  ticket_id  text not null references tickets (id),
  kind       text not null check (kind in ('message', 'edited', 'waived', 'stopped')),
  body       text not null,
  created_at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) strict;
create index steers_by_ticket on ticket_steers (ticket_id, seq);

-- What is brought to the repository that a card names, and how far it is: of an epic, and of each feature that gets a pull request of its own.
-- The state is written before its step is taken: 'intended' is pushed, 'pushed' gets its pull request, 'opened' lets the epic complete,
-- 'delivered' is made ready for review, 'watched' is asked after. 'done': there is nothing to watch; 'dropped': without, or overtaken.
create table deliveries (
  seq          integer primary key,
  tenant_id    text not null,
  session_id   text not null references hitl_sessions (id),
  ticket_id    text not null unique references tickets (id),
  state        text not null default 'intended' check (state in ('intended', 'pushed', 'opened', 'delivered', 'watched', 'done', 'merged',
                                                                 'closed', 'dropped')),
  repository   text not null,                             -- as the card names it
  branch       text not null,
  base_branch  text,                                      -- what the pull request is onto; null: the repository's default branch
  tip_sha      text not null,                             -- the commit that is to be there
  pushed_sha   text,                                      -- the commit that was put there last
  forge        text check (forge in ('github', 'gitlab')),  -- null: a plain git remote
  project      text,                                      -- owner/repo on the forge
  number       integer,                                   -- of the pull request
  pr_url       text,
  waiting      text check (waiting in ('person', 'token')),  -- token: so do all deliveries to this repository
  approved_sha text,                                      -- the commit of which a person approved the changes to protected paths
  cleared_sha  text,                                      -- the commit of which a person said that what looks like a secret is none
  tries        integer not null default 0,                -- transient failures in a row
  rounds       integer not null default 0,                -- how often a failed CI has started a run
  not_before   text,
  reason       text,                                      -- one sentence for a person
  created_at   text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at   text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  ready_number integer                                    -- the pull request whose draft state is a person's: we made it ready once, or a person opened it
) strict;
create index deliveries_due on deliveries (not_before) where state not in ('done', 'merged', 'closed', 'dropped') and waiting is null;
create index deliveries_by_session on deliveries (session_id);

-- What came back from a forge. Each fact is acted on once; what is for an agent stands in the prompts of ticket_id.
create table forge_facts (
  seq         integer primary key,
  delivery    integer not null references deliveries (seq),
  fingerprint text not null,                              -- 'merged:7', 'ci:<sha>', 'remark:<id>', …
  kind        text not null check (kind in ('merged', 'closed', 'ci', 'remark')),
  body        text not null default '',
  ticket_id   text references tickets (id),               -- null: not acted on yet, or nothing to tell an agent
  acted_at    text,
  told_at     text,                                       -- when the pull request was told what came of it
  created_at  text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  unique (delivery, fingerprint)
) strict;
create index facts_by_ticket on forge_facts (ticket_id) where ticket_id is not null;

-- The journal that the browser replays. Only triggers write it, so that it is true whoever changed the row.
create table events (
  seq        integer primary key,                         -- pruning leaves the newest row: no number comes twice
  at         text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  kind       text not null,                               -- 'session', 'card', 'message', 'question', 'amendment', 'ticket', 'run', 'request', 'delivery', 'engine'
  tenant_id  text not null,
  session_id text,
  ticket_id  text,
  run_id     text,
  from_state text,
  to_state   text not null
) strict;

create trigger session_created after insert on hitl_sessions begin
  insert into events (kind, tenant_id, session_id, to_state) values ('session', new.tenant_id, new.id, new.state);
end;
create trigger session_moved after update of state on hitl_sessions when new.state <> old.state begin
  insert into events (kind, tenant_id, session_id, from_state, to_state) values ('session', new.tenant_id, new.id, old.state, new.state);
end;
create trigger session_paused after update of paused on hitl_sessions when new.paused <> old.paused begin
  insert into events (kind, tenant_id, session_id, from_state, to_state)
  values ('session', new.tenant_id, new.id, new.state, iif(new.paused, 'paused', new.state));
end;
create trigger card_changed after update of spec_card on hitl_sessions when new.spec_card is not old.spec_card begin
  insert into events (kind, tenant_id, session_id, to_state) values ('card', new.tenant_id, new.id, 'changed');
end;
create trigger message_written after insert on messages begin
  insert into events (kind, tenant_id, session_id, to_state) values ('message', new.tenant_id, new.session_id, 'written');
end;
create trigger question_asked after insert on questions begin
  insert into events (kind, tenant_id, session_id, to_state) values ('question', new.tenant_id, new.session_id, new.state);
end;
create trigger question_moved after update of state on questions when new.state <> old.state begin
  insert into events (kind, tenant_id, session_id, from_state, to_state) values ('question', new.tenant_id, new.session_id, old.state, new.state);
end;
create trigger amendment_proposed after insert on amendments begin
  insert into events (kind, tenant_id, session_id, to_state) values ('amendment', new.tenant_id, new.session_id, new.state);
end;
create trigger amendment_moved after update of state on amendments when new.state <> old.state begin
  insert into events (kind, tenant_id, session_id, from_state, to_state) values ('amendment', new.tenant_id, new.session_id, old.state, new.state);
end;
create trigger ticket_created after insert on tickets begin
  insert into events (at, kind, tenant_id, session_id, ticket_id, to_state)
  values (new.created_at, 'ticket', new.tenant_id, new.session_id, new.id, new.status);
end;
create trigger ticket_moved after update of status on tickets when new.status <> old.status begin
  insert into events (kind, tenant_id, session_id, ticket_id, from_state, to_state)
  values ('ticket', new.tenant_id, new.session_id, new.id, old.status, new.status);
end;
create trigger run_wanted after insert on runs when new.state = 'wanted' begin
  insert into events (kind, tenant_id, session_id, run_id, to_state) values ('run', new.tenant_id, new.session_id, new.id, 'wanted');
end;
create trigger run_moved after update of state on runs when new.state <> old.state begin
  insert into events (kind, tenant_id, session_id, ticket_id, run_id, from_state, to_state)
  values ('run', new.tenant_id, new.session_id, new.ticket_id, new.id, old.state, coalesce(new.outcome, new.state));
end;
create trigger request_opened after insert on requests begin
  insert into events (kind, tenant_id, session_id, ticket_id, run_id, to_state)
  values ('request', new.tenant_id, new.session_id, new.ticket_id, new.run_id, new.state);
end;
create trigger request_moved after update of state on requests when new.state <> old.state begin
  insert into events (kind, tenant_id, session_id, ticket_id, run_id, from_state, to_state)
  values ('request', new.tenant_id, new.session_id, new.ticket_id, new.run_id, old.state, new.state);
end;
create trigger delivery_moved after update of state, waiting on deliveries when new.state <> old.state or new.waiting is not old.waiting begin
  insert into events (kind, tenant_id, session_id, ticket_id, from_state, to_state)
  values ('delivery', new.tenant_id, new.session_id, new.ticket_id, old.state, coalesce('waits for a ' || new.waiting, new.state));
end;
create trigger engine_paused after update of paused on engine_state when new.paused <> old.paused begin
  insert into events (kind, tenant_id, from_state, to_state)
  values ('engine', '*', iif(old.paused, 'paused', 'on'), iif(new.paused, 'paused', 'on'));
end;
