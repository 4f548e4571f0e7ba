-- Which messages go while something that stays points at them, and at what does it point then?
--
-- params   $cutoff: UTC; old_turns in braces is the text of old_turns.sql
-- columns  id, chat_id;
--          heir_id: the nearest one before it in its branch that stays; NULL if none does;
--          last_id: the last message of the chat that stays; NULL if none does
with recursive "_old" as ({old_turns}),
"_places" as (
  select
    m."id", m."chat_id", m."parent_id", m."seq",
    o."turn" is not null as "goes",
    -- nothing stays before it otherwise: the walk through a long chat ends there
    m."seq" > min(m."seq") filter (where o."turn" is null) over (partition by m."chat_id") as "is_between"
  from "messages" as m
  left join "_old" as o on o."chat_id" = m."chat_id" and o."turn" = m."turn"
),
"_gone" as (
  select "id", "chat_id", case when "is_between" then "parent_id" end as "parent_id"
  from "_places"
  where "goes"
),
"_heirs" as (
  select g."id", g."chat_id", g."parent_id" as "heir_id"
  from "_gone" as g
  where g."id" in (select "parent_id" from "_places" where not "goes")
    or g."id" in (select "head_message_id" from "chats")
  union
  select h."id", h."chat_id", g."parent_id"
  from "_heirs" as h
  join "_gone" as g on g."id" = h."heir_id" and g."chat_id" = h."chat_id"
)
select
  h."id",
  h."chat_id",
  any_value(s."id") as "heir_id",
  (select arg_max(l."id", l."seq") from "_places" as l where l."chat_id" = h."chat_id" and not l."goes") as "last_id"
from "_heirs" as h
left join "_places" as s on s."id" = h."heir_id" and s."chat_id" = h."chat_id" and not s."goes"
group by h."id", h."chat_id"
