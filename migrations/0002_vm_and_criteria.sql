-- The virtual machine that a run had is its vm: a machine will be a computer that runs work.
alter table runs rename column machine to vm;
-- What was merged and may have a check is asked at most merges, and of large builds without checks that is nothing.
create index tickets_with_criteria on tickets (session_id, seq) where acceptance_criteria <> '[]';
