-- Which messages are in a place that another one has?
--
-- A place in a chat (seq) is one message's, and a turn has one user and one assistant message.
--
-- columns  id, chat_id, seq, turn, role;
--          same_as: id of the message in that place that is the same but for id and created_at; else NULL
-- repair   those that are the same as another one are deleted, the lowest id stays
with "_suspects" as (
  select m."id", m."chat_id", m."seq", m."turn", m."role"
  from "messages" as m
  semi join (
    select "chat_id", "seq" from "messages" group by "chat_id", "seq" having count(*) > 1
  ) as s on s."chat_id" = m."chat_id" and s."seq" = m."seq"
  union
  select m."id", m."chat_id", m."seq", m."turn", m."role"
  from "messages" as m
  semi join (
    select "chat_id", "turn", "role" from "messages" group by "chat_id", "turn", "role" having count(*) > 1
  ) as t on t."chat_id" = m."chat_id" and t."turn" = m."turn" and t."role" = m."role"
),
"_whole" as (
  select m."id", row(*columns(m.* exclude ("id", "created_at"))) as "said"
  from "messages" as m
  where m."id" in (select "id" from "_suspects")
),
"_ranked" as (
  select
    "id",
    first_value("id") over (partition by "said" order by "id") as "first_id"
  from "_whole"
)
select s.*, nullif(r."first_id", s."id") as "same_as"
from "_suspects" as s
join "_ranked" as r on r."id" = s."id"
where exists (
  select 1
  from "_suspects" as o
  where o."chat_id" = s."chat_id"
    and o."id" < s."id"
    and (o."seq" = s."seq" or (o."turn" = s."turn" and o."role" = s."role"))
)
