-- The doors of the service role. Each runs as its owner with nothing on its search path.

-- Stores a batch, `[{id, source, timestamp, eventType, payload}, …]`, and says how many of it were new.
-- Sorted, as overlapping batches would wait for each other in a circle otherwise; the rollup counts what was really
-- inserted, in the same statement, and after all of it. What is older than anything deleted is passed over; the lock
-- keeps a deletion from happening meanwhile.
create function public.bulk_insert_events(events_json jsonb, out inserted_count integer)
language sql
security definer
set search_path = ''
as $$
    with retention as materialized (
        select r.deleted_before from vibetea.retention as r for share
    ), inserted as (
        insert into public.events (id, source, timestamp, event_type, payload)
        select e.id, e.source, e.timestamp, e."eventType", e.payload
        from jsonb_to_recordset(events_json)
            as e (id text, source text, timestamp timestamptz, "eventType" text, payload jsonb)
        where e.timestamp >= (select deleted_before from retention)
        order by e.id
        on conflict (id) do nothing
        returning source, timestamp
    ), counted as (
        insert into vibetea.hourly as h (hour, source, event_count)
        select date_trunc('hour', i.timestamp, 'UTC'), i.source, count(*)
        from inserted as i
        group by 1, 2
        order by 1, 2
        on conflict (hour, source) do update set event_count = h.event_count + excluded.event_count
    )
    select count(*)::integer from inserted;
$$;

-- Whole hours in UTC, the newest first, from the hour `days_back` days ago on: `[{source, date, hour, eventCount}, …]`.
-- Not those that a machine with a wrong clock sent from the future.
-- One value and not rows, for the API cuts an answer at its `max_rows` without a word.
create function public.get_hourly_aggregates(days_back integer, source_filter text default null)
returns jsonb
language sql
stable
security definer
set search_path = ''
as $$
    select coalesce(
        jsonb_agg(
            jsonb_build_object(
                'source', h.source,
                'date', to_char(h.hour at time zone 'UTC', 'YYYY-MM-DD'),
                'hour', extract(hour from h.hour at time zone 'UTC')::integer,
                'eventCount', h.event_count
            )
            order by h.hour desc, h.source
        ),
        '[]'
    )
    from vibetea.hourly as h
    where h.hour >= date_trunc('hour', now() - make_interval(days => days_back), 'UTC')
        and h.hour <= now() + interval '1 day'
        and (source_filter is null or h.source = source_filter);
$$;

-- A source's public key, or null if it has none or a revoked one.
create function public.get_source_key(source_id text)
returns text
language sql
stable
security definer
set search_path = ''
as $$
    select k.public_key from vibetea.source_keys as k where k.source = source_id and k.revoked_at is null;
$$;

revoke all on function
    public.bulk_insert_events(jsonb),
    public.get_hourly_aggregates(integer, text),
    public.get_source_key(text)
from public, anon, authenticated;
grant execute on function
    public.bulk_insert_events(jsonb),
    public.get_hourly_aggregates(integer, text),
    public.get_source_key(text)
to service_role;
