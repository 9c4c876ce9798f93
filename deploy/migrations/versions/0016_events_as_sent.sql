-- What an event says is written once and read whole, so it is kept as a text that is known to be JSON, not
-- taken apart for look-ups that nobody makes. Rewrites the table, and makes the view anew that reads it.
drop view visit_in_full;
alter table visit_event alter column content type json using content::json;
create view visit_in_full with (security_invoker = true) as
select v.*,
       (select said.content from visit_event said where said.arrival = v.content_of) as content,
       (select came.outcome from visit_outcome came
         where came.hash = v.outcome_hash and came.outcome_no = v.outcome_no) as outcome
  from visit v;
grant select on visit_in_full to needlecap_app;
