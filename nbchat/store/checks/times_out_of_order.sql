-- Which messages are more than a minute older than the one before them in their chat?
--
-- columns  id, chat_id, seq, created_at, before: created_at of the message before
-- repair   none: order is by seq
select *
from (
  select
    "id", "chat_id", "seq", "created_at",
    lag("created_at") over (partition by "chat_id" order by "seq") as "before"
  from "messages"
) as "ordered"
where "created_at" < "before" - interval 1 minute
