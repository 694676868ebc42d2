-- A database in the older form: no version, two tables, just these columns.
create table hitl_sessions (id text primary key, tenant_id text, project_name text, description text, state text, spec_card text, created_at text,
  updated_at text);
create table tickets (id text primary key, session_id text, tenant_id text, type text, title text, description text, acceptance_criteria text,
  status text, parent_id text, assigned_vm text, branch_name text, pr_url text, created_at text, updated_at text);
insert into hitl_sessions values ('s1', 'default', 'Old', 'd', 'building', '{"name":"Old","features":[{"title":"F"}]}', '2026-01-02 03:04:05', null);
insert into tickets values ('TKT-041', 's1', 'default', 'epic', 'E', '', '[]', 'running', null, 'vm1', null, null, '2026-01-02 03:04:05', null);
insert into tickets values ('TKT-042', 's1', 'default', 'feature', 'F', 'd', '["works"]', 'completed', 'TKT-041', null, 'b', 'http://x/1', null, null);
