-- What was merged and may have a check is asked at most merges, and of large builds without checks that is nothing.
create index tickets_with_criteria on tickets (session_id, seq) where acceptance_criteria <> '[]';
