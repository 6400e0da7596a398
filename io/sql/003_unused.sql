-- The accounts of a job are in its ledger; nothing ever stood here.
alter table job_state drop column accounts;
