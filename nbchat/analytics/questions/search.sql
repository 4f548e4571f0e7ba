-- Where was this said?
--
-- params   $terms: list of texts in lower case, all to be in one message, or in one chat's name and metadata
--          $stems: the same list, each as short as it may be found; the same again where stems are not known
--          $gate: a pattern that whatever has all $stems matches, NULL for none; it is cheap, and so is looked for first;
--          only İ, which is i in lower case, it does not know
--          $metadata: JSON object whose values the chat must have, {} for any chat
--          $since, $until: UTC, of created_at, until is excluded; NULL for no bound
--          $scored: how many matches, the newest, are ranked; $limit: rows
-- columns  chat_id, name, message_id (NULL when the chat's own name or metadata match), turn, role,
--          snippet (one line around the first match), score (no unit), created_at (of the message, or of the chat)
-- order    the best first, then the newest; no row for an empty store
--
-- The score is BM25 (k1 1.2, b 0.75): often in a short text, by words that are rare among the newest 2,000 messages.
-- A term as it was written counts double against another form of it; one in a chat's name counts three times.
-- Of the two halves of "_said" one has no rows: a join would keep DuckDB from passing over what is older than the newest.
with "_chosen" as (
  select
    "id",
    "name",
    "created_at",
    concat_ws(chr(10), "name", array_to_string(list_transform(
      json_keys("metadata"),
      lambda key: key || ': ' || coalesce("metadata" ->> ('/' || replace(replace(key, '~', '~0'), '/', '~1')), '')
    ), chr(10))) as "text"
  from "chats"
  where coalesce(list_bool_and(list_transform(
    json_keys($metadata::json),
    lambda key: coalesce(
      json_extract("metadata", '/' || replace(replace(key, '~', '~0'), '/', '~1'))
        = json_extract($metadata::json, '/' || replace(replace(key, '~', '~0'), '/', '~1')),
      false
    )
  )), true)
),
"_matching" as not materialized (
  select "chat_id", "id", "turn", "role", "content", "created_at"
  from "messages"
  where "content_removed_at" is null
    and ($gate is null or regexp_matches("content", $gate) or contains("content", 'İ'))
    and list_bool_and(list_transform($stems, lambda stem: contains(lower("content"), stem)))
    and ($since is null or "created_at" >= $since::timestamp)
    and ($until is null or "created_at" < $until::timestamp)
),
"_said" as (
  (
    select m.*
    from "_matching" as m
    where $metadata = '{}'
    order by m."created_at" desc, m."id" desc
    limit $scored
  )
  union all
  (
    select m.*
    from "_matching" as m
    where $metadata <> '{}' and m."chat_id" in (select "id" from "_chosen")
    order by m."created_at" desc, m."id" desc
    limit $scored
  )
),
"_named" as (
  select "id" as "chat_id", "name", "text", "created_at"
  from "_chosen"
  where list_bool_and(list_transform($stems, lambda stem: contains(lower("text"), stem)))
    and ($since is null or "created_at" >= $since::timestamp)
    and ($until is null or "created_at" < $until::timestamp)
  order by "created_at" desc, "chat_id" desc
  limit $scored
),
"_sample" as (
  select lower("content") as "text"
  from "messages"
  where "content_removed_at" is null
  order by "created_at" desc, "id" desc
  limit 2000
),
"_rarity" as (
  select
    "place",
    ln(1 + (count(*) filter (not "is_in") + 0.5) / (count(*) filter ("is_in") + 0.5)) as "weight"
  from (
    select t."place", contains(s."text", $stems[t."place"]) as "is_in"
    from (select unnest(range(1, len($stems) + 1)) as "place") as t
    left join "_sample" as s on true
  ) as seen
  group by "place"
),
"_usual" as (
  select
    (select list("weight" order by "place") from "_rarity") as "weights",
    (select greatest(avg(length("text")), 1) from "_sample") as "length"
),
"_found" as (
  select
    s."chat_id", s."id" as "message_id", s."turn", s."role", s."content" as "text", s."created_at",
    null::varchar as "title", length(s."content") / u."length" as "size", u."weights"
  from "_said" as s
  cross join "_usual" as u
  union all by name
  select n."chat_id", n."text", n."created_at", n."name" as "title", 1 as "size", u."weights"
  from "_named" as n
  cross join "_usual" as u
),
"_counted" as (
  select
    f.*,
    list_transform(range(1, len($terms) + 1), lambda place:
      0.5 * (length(f."text") - length(replace(lower(f."text"), $stems[place], ''))) / length($stems[place])
      + 0.5 * (length(f."text") - length(replace(lower(f."text"), $terms[place], ''))) / length($terms[place])
    ) as "counts"
  from "_found" as f
),
"_best" as (
  select
    c."chat_id",
    c."message_id",
    c."turn",
    c."role",
    c."text",
    c."created_at",
    list_sum(list_transform(range(1, len($terms) + 1), lambda place:
      c."weights"[place]
      * case when contains(lower(coalesce(c."title", '')), $stems[place]) then 3 else 1 end
      * 2.2 * c."counts"[place] / (c."counts"[place] + 1.2 * (0.25 + 0.75 * c."size"))
    ))::double as "score",
    list_min(list_transform($stems, lambda stem: instr(lower(c."text"), stem))) as "first"
  from "_counted" as c
  where exists (select 1 from "chats" as h where h."id" = c."chat_id")
  order by "score" desc, c."created_at" desc, c."message_id" desc nulls first, c."chat_id" desc
  limit $limit
)
select
  b."chat_id"::varchar as "chat_id",
  h."name",
  b."message_id"::varchar as "message_id",
  b."turn",
  b."role",
  case when b."first" > 41 then '…' else '' end
    || trim(regexp_replace(substring(b."text", greatest(b."first" - 40, 1), 160), '[\s\p{Z}\p{C}]+', ' ', 'g'))
    || case when length(b."text") > greatest(b."first" - 40, 1) + 159 then '…' else '' end as "snippet",
  b."score",
  b."created_at"
from "_best" as b
join "chats" as h on h."id" = b."chat_id"
order by b."score" desc, b."created_at" desc, b."message_id" desc nulls first, b."chat_id" desc
