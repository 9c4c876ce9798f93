-- Whoever writes an accumulator has locked its member's row, and no such row is ever deleted: to look the member
-- up again for each new accumulator told nothing.
alter table accumulator drop constraint accumulator_payer_id_member_id_fkey;
