-- Plain new visits are counted without a look at the member's history: the member's row tells whether
-- one comes last, and an index whether it is alone on its date.

-- Not before the arrival of any visit that was saved for the member; rises with the state.
alter table member add column last_arrival bigint not null default 0;
update member k set last_arrival = v.arrival
  from (select payer_id, member_id, max(arrival) as arrival from visit
         where member_id is not null group by payer_id, member_id) v
 where v.payer_id = k.payer_id and v.member_id = k.member_id and v.arrival is not null;

-- The same rows as before, a member's together, now by date.
drop index visit_by_member;
create index visit_by_member on visit (payer_id, member_id, service_date);
