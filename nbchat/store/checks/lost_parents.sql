-- Which messages follow one that is not an earlier message of their chat?
--
-- columns  id, chat_id, seq, parent_id (as it is), before_id: the message before it; NULL for the first
-- repair   parent_id becomes before_id
select
  m."id",
  m."chat_id",
  m."seq",
  m."parent_id",
  (
    select arg_max(b."id", b."seq")
    from "messages" as b
    where b."chat_id" = m."chat_id" and b."seq" < m."seq"
  ) as "before_id"
from "messages" as m
anti join "messages" as p on p."id" = m."parent_id" and p."chat_id" = m."chat_id" and p."seq" < m."seq"
where m."parent_id" is not null
