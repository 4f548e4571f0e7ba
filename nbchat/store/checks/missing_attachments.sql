-- Which messages name images or files that are not in the store?
--
-- What was sent, and what tools returned. Such a message is sent again with its words alone.
--
-- columns  id, chat_id, turn, digests: those that are missing
-- repair   none: the bytes are nowhere
select n."id", n."chat_id", n."turn", list(distinct n."digest") as "digests"
from (
  select
    m."id",
    m."chat_id",
    m."turn",
    unnest(
      list_concat(m."parts" ->> '$[*].digest', m."parts" ->> '$[*].images[*].digest')
    ) as "digest"
  from "messages" as m
  where contains(m."parts"::varchar, '"digest"')
) as n
anti join "attachments" as a on a."digest" = n."digest"
group by n."id", n."chat_id", n."turn"
