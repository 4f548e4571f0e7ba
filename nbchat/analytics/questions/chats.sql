-- Which chats are there?
--
-- columns  id, name, model, turns, cost_usd (US dollars of the priced requests; NULL if none is),
--          cost_complete, created_at, updated_at (last turn), metadata (JSON text)
-- order    the latest first; no row for an empty store
with "asked" as (
  select "chat_id", count(*) as turns
  from "messages"
  where "role" = 'user'
  group by "chat_id"
),
"billed" as (
  select
    "chat_id",
    case when bool_and("is_priced") then coalesce(sum("cost_usd"), 0) else sum("cost_usd") end as "cost_usd",
    bool_and("is_priced") as "cost_complete"
  from "requests_priced"
  group by "chat_id"
)
select
  c."id",
  c."name",
  c."model",
  coalesce(a.turns, 0)::bigint as turns,
  case when b."chat_id" is null then 0 else b."cost_usd" end::double as "cost_usd",
  coalesce(b."cost_complete", true) as "cost_complete",
  c."created_at",
  c."updated_at",
  c."metadata"
from "chats" as c
left join "asked" as a on a."chat_id" = c."id"
left join "billed" as b on b."chat_id" = c."id"
order by c."updated_at" desc, c."id" desc
