-- What list_chats() tells, written by hand.
select "id"::varchar as "id", "name", "model", "turns", "cost_usd", "cost_complete", "created_at", "updated_at", "metadata"
from "chats"
left join (
  select "chat_id" as "id", count(*) as "turns"
  from "messages"
  where "role" = 'user'
  group by "chat_id"
) using ("id")
left join (
  select
    "chat_id" as "id",
    bool_and("cost_usd" is not null or not (coalesce("status_code", 0) between 200 and 299)) as "cost_complete",
    coalesce(sum("cost_usd"), case when "cost_complete" then 0 end) as "cost_usd"
  from "requests"
  group by "chat_id"
) using ("id")
where "archived_at" is null
order by "updated_at" desc
