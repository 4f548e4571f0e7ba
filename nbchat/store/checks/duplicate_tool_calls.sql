-- Which tool calls are in a place that another one has?
--
-- columns  id, chat_id, message_id, round, seq, attempt;
--          same_as: id of the row in that place that is the same but for its id; else NULL
-- repair   those that are the same as another one are deleted, the lowest id stays
with "_suspects" as (
  select o.*
  from "tool_calls" as o
  semi join (
    select "message_id", "round", "seq", "attempt"
    from "tool_calls"
    group by "message_id", "round", "seq", "attempt"
    having count(*) > 1
  ) as d on d."message_id" = o."message_id" and d."round" = o."round" and d."seq" = o."seq" and d."attempt" = o."attempt"
),
"_ranked" as (
  select
    "id",
    first_value("id") over (partition by "place" order by "id") as "place_id",
    first_value("id") over (partition by "said" order by "id") as "first_id"
  from (
    select
      "id",
      row("message_id", "round", "seq", "attempt") as "place",
      row(*columns(* exclude ("id"))) as "said"
    from "_suspects"
  ) as "whole"
)
select s."id", s."chat_id", s."message_id", s."round", s."seq", s."attempt", nullif(r."first_id", s."id") as "same_as"
from "_suspects" as s
join "_ranked" as r on r."id" = s."id"
where r."place_id" <> s."id"
