-- Which chats are there?
--
-- params   $archived: true for those that were put away, false for the others, NULL for both
--          $metadata: JSON object whose values the chat must have, {} for any chat; $limit: rows, NULL for all
-- columns  id, name, model, turns, cost_usd (US dollars of the priced requests; NULL if none is, or if the
--          chat's requests are not recorded), cost_complete, created_at, updated_at (last turn), archived_at,
--          metadata (JSON text), pinned
-- order    pinned ones first, the latest of both first; no row for an empty store
with "_chosen" as (
  select
    "id", "name", "model", "created_at", "updated_at", "archived_at", "metadata",
    "pinned_at" is not null as "pinned",
    coalesce(("settings" -> 'persist' ->> 'requests') = 'false', false) as "unrecorded"
  from "chats"
  where ($archived is null or ("archived_at" is not null) = $archived)
    and coalesce(list_bool_and(list_transform(
      json_keys($metadata::json),
      lambda key: coalesce(
        json_extract("metadata", '/' || replace(replace(key, '~', '~0'), '/', '~1'))
          = json_extract($metadata::json, '/' || replace(replace(key, '~', '~0'), '/', '~1')),
        false
      )
    )), true)
  order by "pinned_at" is not null desc, "updated_at" desc, "id" desc
  limit $limit
),
"_asked" as (
  select "chat_id", count(*) as turns
  from "messages"
  where "role" = 'user'
  group by "chat_id"
),
"_billed" as (
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
  case
    when c."unrecorded" then null
    when b."chat_id" is null then 0
    else b."cost_usd"
  end::double as "cost_usd",
  not c."unrecorded" and coalesce(b."cost_complete", true) as "cost_complete",
  c."created_at",
  c."updated_at",
  c."archived_at",
  c."metadata",
  c."pinned"
from "_chosen" as c
left join "_asked" as a on a."chat_id" = c."id"
left join "_billed" as b on b."chat_id" = c."id"
order by c."pinned" desc, c."updated_at" desc, c."id" desc
