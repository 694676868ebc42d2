-- A database of version 2: its schema, and rows in every table.
pragma application_id = 1212765267;
pragma user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE amendments (
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
INSERT INTO "amendments" VALUES(1,'default','11111111-1111-4111-8111-111111111111','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','{"add":[]}','{"features":[{"title":"F1"},{"title":"F2"}],"name":"Old"}','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','proposed',NULL,NULL,NULL,'2026-01-02T03:04:03.000Z');
CREATE TABLE counters (
  name  text primary key,
  value integer not null
) strict, without rowid;
INSERT INTO "counters" VALUES('ticket',4);
CREATE TABLE deliveries (
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
  updated_at   text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) strict;
INSERT INTO "deliveries" VALUES(1,'default','11111111-1111-4111-8111-111111111111','TKT-002','watched','owner/repo','swarm/x','main','dddddddddddddddddddddddddddddddddddddddd','dddddddddddddddddddddddddddddddddddddddd','github','owner/repo',7,'https://github.com/owner/repo/pull/7',NULL,NULL,NULL,0,0,NULL,NULL,'2026-01-02T03:04:02.000Z','2026-01-02T03:04:03.000Z');
CREATE TABLE engine_state (
  id         integer primary key check (id = 1),
  paused     integer not null default 0 check (paused in (0, 1)),
  reason     text
) strict;
INSERT INTO "engine_state" VALUES(1,1,'An upgrade.');
CREATE TABLE events (
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
INSERT INTO "events" VALUES(1,'2026-01-02T03:04:04.000Z','engine','*',NULL,NULL,NULL,'on','paused');
INSERT INTO "events" VALUES(2,'2026-01-02T03:04:04.000Z','session','default','11111111-1111-4111-8111-111111111111',NULL,NULL,NULL,'building');
INSERT INTO "events" VALUES(3,'2026-01-02T03:04:04.000Z','session','other','22222222-2222-4222-8222-222222222222',NULL,NULL,NULL,'clarifying');
INSERT INTO "events" VALUES(4,'2026-01-02T03:04:04.000Z','message','default','11111111-1111-4111-8111-111111111111',NULL,NULL,NULL,'written');
INSERT INTO "events" VALUES(5,'2026-01-02T03:04:04.000Z','question','default','11111111-1111-4111-8111-111111111111',NULL,NULL,NULL,'answered');
INSERT INTO "events" VALUES(6,'2026-01-02T03:04:04.000Z','question','default','22222222-2222-4222-8222-222222222222',NULL,NULL,NULL,'open');
INSERT INTO "events" VALUES(7,'2026-01-02T03:04:04.000Z','amendment','default','11111111-1111-4111-8111-111111111111',NULL,NULL,NULL,'proposed');
INSERT INTO "events" VALUES(8,'2026-01-02T03:04:04.000Z','ticket','default','11111111-1111-4111-8111-111111111111','TKT-001',NULL,NULL,'running');
INSERT INTO "events" VALUES(9,'2026-01-02T03:04:04.000Z','ticket','default','11111111-1111-4111-8111-111111111111','TKT-002',NULL,NULL,'completed');
INSERT INTO "events" VALUES(10,'2026-01-02T03:04:04.000Z','ticket','default','11111111-1111-4111-8111-111111111111','TKT-003',NULL,NULL,'running');
INSERT INTO "events" VALUES(11,'2026-01-02T03:04:04.000Z','ticket','default','11111111-1111-4111-8111-111111111111','TKT-004',NULL,NULL,'blocked');
INSERT INTO "events" VALUES(12,'2026-01-02T03:04:04.000Z','request','default','11111111-1111-4111-8111-111111111111','TKT-003','TKT-003-2-abcdef',NULL,'answered');
INSERT INTO "events" VALUES(13,'2026-01-02T03:04:04.000Z','request','default','11111111-1111-4111-8111-111111111111',NULL,NULL,NULL,'open');
CREATE TABLE forge_facts (
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
INSERT INTO "forge_facts" VALUES(1,1,'ci:dddd','ci','red','TKT-003','2026-01-02T03:04:03.000Z',NULL,'2026-01-02T03:04:03.000Z');
CREATE TABLE hitl_sessions (
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
  updated_at      text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) strict;
INSERT INTO "hitl_sessions" VALUES(1,'11111111-1111-4111-8111-111111111111','default','Old','d','building','{"features":[{"title":"F1"},{"title":"F2"}],"name":"Old"}','owner/repo','unchecked',2,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','2026-01-02T03:04:01.000Z',0,'waived',1,NULL,'2026-01-02T03:04:01.000Z','2026-01-02T03:04:02.000Z');
INSERT INTO "hitl_sessions" VALUES(2,'22222222-2222-4222-8222-222222222222','other','Zwei – ünïcode','','clarifying',NULL,NULL,'false',0,NULL,NULL,NULL,0,'required',0,NULL,'2026-01-02T03:04:01.000Z','2026-01-02T03:04:02.000Z');
CREATE TABLE messages (
  seq          integer primary key,
  tenant_id    text not null default 'default',
  session_id   text not null references hitl_sessions (id),
  body         text not null,
  from_version integer not null,                          -- of the card, before and after
  to_version   integer not null,
  created_at   text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) strict;
INSERT INTO "messages" VALUES(1,'default','11111111-1111-4111-8111-111111111111','It''s ''quoted''; -- and no comment',1,2,'2026-01-02T03:04:02.000Z');
CREATE TABLE questions (
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
INSERT INTO "questions" VALUES('11111111-1111-4111-8111-111111111111',1,'default','goal','Why?','["x","y"]','answered','x','me','2026-01-02T03:04:02.000Z',0,1,'2026-01-02T03:04:01.000Z');
INSERT INTO "questions" VALUES('22222222-2222-4222-8222-222222222222',1,'default','goal','Why?','[]','open',NULL,NULL,NULL,NULL,NULL,'2026-01-02T03:04:01.000Z');
CREATE TABLE requests (
  seq         integer primary key,
  tenant_id   text not null,
  session_id  text not null references hitl_sessions (id),
  ticket_id   text references tickets (id),
  run_id      text,
  kind        text not null check (kind in ('question', 'isolation', 'budget', 'review', 'failed', 'delivery')),
  body        text not null,
  options     text not null default '[]',                 -- JSON array of strings, the recommended one first
  state       text not null default 'open' check (state in ('open', 'answered', 'withdrawn')),
  answer      text,
  answered_by text,
  answered_at text,
  created_at  text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) strict;
INSERT INTO "requests" VALUES(1,'default','11111111-1111-4111-8111-111111111111','TKT-003','TKT-003-2-abcdef','question','Which?','["a","b"]','answered','a','me','2026-01-02T03:04:03.000Z','2026-01-02T03:04:03.000Z');
INSERT INTO "requests" VALUES(2,'default','11111111-1111-4111-8111-111111111111',NULL,NULL,'budget','More?','[]','open',NULL,NULL,NULL,'2026-01-02T03:04:03.000Z');
CREATE TABLE review_comments (
  seq        integer primary key,
  tenant_id  text not null,
  ticket_id  text not null references tickets (id),
  tip_sha    text not null,
  path       text not null,                               -- one name for each file, whatever its bytes are: hitl/diff_names.py
  side       text not null check (side in ('L', 'R')),    -- a line before the change, or after it
  line       integer not null check (line > 0),
  quoted     text not null,                               -- that line
  body       text not null,
  state      text not null default 'draft' check (state in ('draft', 'sent')),
  created_at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  sent_at    text check ((sent_at is null) = (state = 'draft'))
) strict;
INSERT INTO "review_comments" VALUES(1,'default','TKT-002','dddddddddddddddddddddddddddddddddddddddd','a.py','R',3,'x = 1','Why 1?','sent','2026-01-02T03:04:02.000Z','2026-01-02T03:04:03.000Z');
CREATE TABLE review_viewed (
  ticket_id text not null references tickets (id),
  tip_sha   text not null,
  path      text not null,
  primary key (ticket_id, tip_sha, path)
) strict, without rowid;
INSERT INTO "review_viewed" VALUES('TKT-002','dddddddddddddddddddddddddddddddddddddddd','a.py');
CREATE TABLE runs (
  seq           integer primary key,
  id            text not null unique,
  ticket_id     text not null references tickets (id),
  session_id    text not null,
  tenant_id     text not null default 'default',
  kind          text not null check (kind in ('prepare', 'feature', 'recheck', 'integrate', 'deliver')),
  state         text not null default 'intended' check (state = 'intended' or state = 'running' or state = 'queued' or
                                                        state = 'merging' or state = 'ended'),
  claim_token   text not null,
  claimed_by    text not null,
  run_no        integer not null,
  runtime       text,
  agent         text,
  base_sha      text,
  tip_sha       text,
  merge_group   integer,                                  -- while queued: those of one number are checked together; null: with all others
  checked_by    text,                                     -- the recheck run that checked it on the merged head
  outcome       text check (outcome = 'prepared' or outcome = 'merged' or outcome = 'no_change' or outcome = 'integrated' or
                            outcome = 'delivered' or outcome = 'needs_input' or outcome = 'in_review' or
                            outcome = 'conflict' or outcome = 'failed' or outcome = 'transient' or outcome = 'lost' or
                            outcome = 'void' or outcome = 'over_budget' or outcome = 'cancelled' or outcome = 'stale'),
  reason        text,                                     -- one sentence for a person
  detail        text,                                     -- what the next prompt needs beside it: the conflict, the tail of the log
  checks        text,                                     -- JSON array, written by the runner
  phases        text,                                     -- JSON object: phase -> milliseconds
  vm       text,                                     -- JSON object: what its virtual machines were; null: it had none
  said          text,                                     -- JSON object, what its agent said of itself: session, tokens, message
  usage         text,                                     -- JSON object, of models and of the network; null: it had no gateway
  created_at    text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  started_at    text,
  ended_at      text,
  check ((ended_at is null) = (state <> 'ended')),
  check ((outcome is null) = (state <> 'ended'))
) strict;
INSERT INTO "runs" VALUES(1,'TKT-001-1-aaaaaa','TKT-001','11111111-1111-4111-8111-111111111111','default','prepare','ended','t','engine1',1,NULL,NULL,NULL,NULL,NULL,NULL,'prepared',NULL,NULL,NULL,'{"prepare":12.5}',NULL,NULL,NULL,'2026-01-02T03:04:01.000Z',NULL,'2026-01-02T03:04:02.000Z');
INSERT INTO "runs" VALUES(2,'TKT-002-1-bbbbbb','TKT-002','11111111-1111-4111-8111-111111111111','default','feature','ended','t','engine1',1,'qemu','runbook','cccccccccccccccccccccccccccccccccccccccc','dddddddddddddddddddddddddddddddddddddddd',NULL,NULL,'merged','It''s done.','x','[{"passed":true}]','{"work":1}','{"accelerator": "tcg", "memory_mb": 512, "cpus": 1, "clone": true, "boots": 2, "boot_ms": 900}','{"message":"hi"}','{"requests":1}','2026-01-02T03:04:01.000Z','2026-01-02T03:04:01.000Z','2026-01-02T03:04:02.000Z');
INSERT INTO "runs" VALUES(3,'TKT-003-2-abcdef','TKT-003','11111111-1111-4111-8111-111111111111','default','feature','running','t3','engine1',2,'qemu','runbook','dddddddddddddddddddddddddddddddddddddddd',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2026-01-02T03:04:03.000Z','2026-01-02T03:04:03.000Z',NULL);
CREATE TABLE spec_versions (
  session_id text not null references hitl_sessions (id),
  version    integer not null,
  card       text not null,                               -- canonical JSON: keys sorted, compact
  sha256     text not null,
  source     text not null,                               -- 'api', 'page', 'sample', 'interview', 'template', 'amendment', …
  created_at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  primary key (session_id, version)
) strict, without rowid;
INSERT INTO "spec_versions" VALUES('11111111-1111-4111-8111-111111111111',1,'{"features":[{"title":"F1"},{"title":"F2"}],"name":"Old"}','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','api','2026-01-02T03:04:01.000Z');
INSERT INTO "spec_versions" VALUES('11111111-1111-4111-8111-111111111111',2,'{"features":[{"title":"F1"},{"title":"F2"}],"name":"Old"}','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','api','2026-01-02T03:04:02.000Z');
CREATE TABLE ticket_dependencies (
  ticket_id  text not null references tickets (id),
  depends_on text not null references tickets (id),
  primary key (ticket_id, depends_on),
  check (ticket_id <> depends_on)
) strict, without rowid;
INSERT INTO "ticket_dependencies" VALUES('TKT-004','TKT-003');
CREATE TABLE ticket_steers (
  seq        integer primary key,
  tenant_id  text not null,
  session_id text not null references hitl_sessions (id),
  ticket_id  text not null references tickets (id),
  kind       text not null check (kind in ('message', 'edited', 'waived', 'stopped')),
  body       text not null,
  created_at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) strict;
INSERT INTO "ticket_steers" VALUES(1,'default','11111111-1111-4111-8111-111111111111','TKT-003','message','Be quick.','2026-01-02T03:04:03.000Z');
CREATE TABLE tickets (
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
  assigned_vm         text,                               -- '<runtime>:<run id>' while a run holds the ticket
  branch_name         text,                               -- an epic's is the integration branch
  pr_url              text,
  position            integer not null default 0,         -- place in the card, from 1; 0 for an epic
  priority            integer not null default 0,         -- higher is claimed first
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
  updated_at          text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) strict;
INSERT INTO "tickets" VALUES(1,'TKT-001','11111111-1111-4111-8111-111111111111','default','epic','T1','d','[{"text":"works","check":"true"}]','running',NULL,NULL,'swarm/11111111/tkt-001-old',NULL,0,0,NULL,0,0,NULL,0,0,0,0,NULL,NULL,NULL,'cccccccccccccccccccccccccccccccccccccccc',NULL,NULL,'2026-01-02T03:04:01.000Z','2026-01-02T03:04:02.000Z');
INSERT INTO "tickets" VALUES(2,'TKT-002','11111111-1111-4111-8111-111111111111','default','feature','T2','d','[{"text":"works","check":"true"}]','completed','TKT-001',NULL,NULL,NULL,1,0,NULL,0,0,NULL,1,0,0,0,NULL,NULL,NULL,NULL,'dddddddddddddddddddddddddddddddddddddddd',NULL,'2026-01-02T03:04:01.000Z','2026-01-02T03:04:02.000Z');
INSERT INTO "tickets" VALUES(3,'TKT-003','11111111-1111-4111-8111-111111111111','default','feature','T3','d','[{"text":"works","check":"true"}]','running','TKT-001','qemu:TKT-003-2-abcdef',NULL,NULL,2,0,NULL,0,0,NULL,2,0,0,0,NULL,'t3','engine1',NULL,NULL,NULL,'2026-01-02T03:04:01.000Z','2026-01-02T03:04:02.000Z');
INSERT INTO "tickets" VALUES(4,'TKT-004','11111111-1111-4111-8111-111111111111','default','feature','T4','d','[{"text":"works","check":"true"}]','blocked','TKT-001',NULL,NULL,NULL,3,5,'runbook',0,0,NULL,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,'2026-01-02T03:04:01.000Z','2026-01-02T03:04:02.000Z');
CREATE INDEX sessions_by_tenant on hitl_sessions (tenant_id, seq);
CREATE INDEX sessions_building on hitl_sessions (seq) where state = 'building';
CREATE INDEX messages_by_session on messages (session_id, seq);
CREATE UNIQUE INDEX one_open_question on questions (session_id) where state = 'open';
CREATE UNIQUE INDEX one_proposed_amendment on amendments (session_id) where state = 'proposed';
CREATE INDEX amendments_by_session on amendments (session_id, seq);
CREATE INDEX tickets_ready on tickets (tenant_id, priority desc, seq) where status = 'ready';
CREATE INDEX tickets_undone on tickets (status, parent_id) where status not in ('completed', 'cancelled');
CREATE INDEX tickets_by_session on tickets (session_id, seq);
CREATE INDEX dependents on ticket_dependencies (depends_on);
CREATE UNIQUE INDEX one_live_run on runs (ticket_id) where ended_at is null;
CREATE INDEX runs_by_ticket on runs (ticket_id, seq);
CREATE INDEX runs_used on runs (session_id) where usage is not null;
CREATE INDEX requests_open on requests (tenant_id, seq) where state = 'open';
CREATE INDEX requests_by_ticket on requests (ticket_id, seq);
CREATE INDEX requests_by_session on requests (session_id, seq);
CREATE UNIQUE INDEX one_draft on review_comments (ticket_id, tip_sha, path, side, line) where state = 'draft';
CREATE INDEX comments_by_ticket on review_comments (ticket_id, seq);
CREATE INDEX steers_by_ticket on ticket_steers (ticket_id, seq);
CREATE INDEX deliveries_due on deliveries (not_before) where state not in ('done', 'merged', 'closed', 'dropped') and waiting is null;
CREATE INDEX deliveries_by_session on deliveries (session_id);
CREATE INDEX facts_by_ticket on forge_facts (ticket_id) where ticket_id is not null;
CREATE TRIGGER session_created after insert on hitl_sessions begin
  insert into events (kind, tenant_id, session_id, to_state) values ('session', new.tenant_id, new.id, new.state);
end;
CREATE TRIGGER session_moved after update of state on hitl_sessions when new.state <> old.state begin
  insert into events (kind, tenant_id, session_id, from_state, to_state) values ('session', new.tenant_id, new.id, old.state, new.state);
end;
CREATE TRIGGER session_paused after update of paused on hitl_sessions when new.paused <> old.paused begin
  insert into events (kind, tenant_id, session_id, from_state, to_state)
  values ('session', new.tenant_id, new.id, new.state, iif(new.paused, 'paused', new.state));
end;
CREATE TRIGGER card_changed after update of spec_card on hitl_sessions when new.spec_card is not old.spec_card begin
  insert into events (kind, tenant_id, session_id, to_state) values ('card', new.tenant_id, new.id, 'changed');
end;
CREATE TRIGGER message_written after insert on messages begin
  insert into events (kind, tenant_id, session_id, to_state) values ('message', new.tenant_id, new.session_id, 'written');
end;
CREATE TRIGGER question_asked after insert on questions begin
  insert into events (kind, tenant_id, session_id, to_state) values ('question', new.tenant_id, new.session_id, new.state);
end;
CREATE TRIGGER question_moved after update of state on questions when new.state <> old.state begin
  insert into events (kind, tenant_id, session_id, from_state, to_state) values ('question', new.tenant_id, new.session_id, old.state, new.state);
end;
CREATE TRIGGER amendment_proposed after insert on amendments begin
  insert into events (kind, tenant_id, session_id, to_state) values ('amendment', new.tenant_id, new.session_id, new.state);
end;
CREATE TRIGGER amendment_moved after update of state on amendments when new.state <> old.state begin
  insert into events (kind, tenant_id, session_id, from_state, to_state) values ('amendment', new.tenant_id, new.session_id, old.state, new.state);
end;
CREATE TRIGGER ticket_created after insert on tickets begin
  insert into events (at, kind, tenant_id, session_id, ticket_id, to_state)
  values (new.created_at, 'ticket', new.tenant_id, new.session_id, new.id, new.status);
end;
CREATE TRIGGER ticket_moved after update of status on tickets when new.status <> old.status begin
  insert into events (kind, tenant_id, session_id, ticket_id, from_state, to_state)
  values ('ticket', new.tenant_id, new.session_id, new.id, old.status, new.status);
end;
CREATE TRIGGER run_moved after update of state on runs when new.state <> old.state begin
  insert into events (kind, tenant_id, session_id, ticket_id, run_id, from_state, to_state)
  values ('run', new.tenant_id, new.session_id, new.ticket_id, new.id, old.state, coalesce(new.outcome, new.state));
end;
CREATE TRIGGER request_opened after insert on requests begin
  insert into events (kind, tenant_id, session_id, ticket_id, run_id, to_state)
  values ('request', new.tenant_id, new.session_id, new.ticket_id, new.run_id, new.state);
end;
CREATE TRIGGER request_moved after update of state on requests when new.state <> old.state begin
  insert into events (kind, tenant_id, session_id, ticket_id, run_id, from_state, to_state)
  values ('request', new.tenant_id, new.session_id, new.ticket_id, new.run_id, old.state, new.state);
end;
CREATE TRIGGER delivery_moved after update of state, waiting on deliveries when new.state <> old.state or new.waiting is not old.waiting begin
  insert into events (kind, tenant_id, session_id, ticket_id, from_state, to_state)
  values ('delivery', new.tenant_id, new.session_id, new.ticket_id, old.state, coalesce('waits for a ' || new.waiting, new.state));
end;
CREATE TRIGGER engine_paused after update of paused on engine_state when new.paused <> old.paused begin
  insert into events (kind, tenant_id, from_state, to_state)
  values ('engine', '*', iif(old.paused, 'paused', 'on'), iif(new.paused, 'paused', 'on'));
end;
CREATE INDEX tickets_with_criteria on tickets (session_id, seq) where acceptance_criteria <> '[]';
COMMIT;
