-- Raw events are kept for 90 days, the rollup for good.

-- Deletes events older than so many days, one at least, and says how many. The rollup keeps counting them, so it is
-- written down how far was deleted: what is older is not taken again. `ingest` refuses what is older than
-- VIBETEA_RETENTION_DAYS; the hour on top is for a batch that it let in just before.
create function vibetea.delete_old_events(days integer)
returns bigint
language sql
strict
security definer
set search_path = ''
as $$
    update vibetea.retention
    set deleted_before = greatest(deleted_before, now() - make_interval(days => greatest(days, 1), hours => 1));
    with deleted as (
        delete from public.events
        where timestamp < (select r.deleted_before from vibetea.retention as r)
        returning 1
    )
    select count(*) from deleted;
$$;

-- The owner's alone: the functions' key can delete nothing.
revoke all on function vibetea.delete_old_events(integer) from public, anon, authenticated, service_role;

-- Every night, where there is pg_cron, as in a hosted project. Elsewhere nothing is deleted until somebody calls it.
do $$
begin
    if exists (select from pg_available_extensions where name = 'pg_cron') then
        create extension if not exists pg_cron with schema pg_catalog;
        perform cron.schedule('vibetea-retention', '17 3 * * *', 'select vibetea.delete_old_events(90)');
    end if;
end
$$;
