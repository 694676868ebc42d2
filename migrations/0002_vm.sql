-- The virtual machine that a run had is its vm: a machine will be a computer that runs work.
alter table runs rename column machine to vm;
