-- Whoever looks for an accumulator's entries names the member, whose entries the primary key has together.
-- This index was the widest of all that an event writes to.
drop index ledger_entry_by_accumulator;
