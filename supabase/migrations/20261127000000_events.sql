-- The history of VibeTea: events, an exact rollup of them by hour, and the sources' public keys.
-- Nobody but the Edge Functions' service role gets at any of it, and that one by functions alone.

-- Old projects grant whatever is made in `public` to the API's roles, and PostgreSQL lets everybody execute a new
-- function. The latter can only be taken back for all schemas at once, so this project is VibeTea's own.
alter default privileges revoke execute on functions from public;
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public revoke all on functions from anon, authenticated, service_role;

-- The API exposes `public` only.
create schema vibetea;

create table public.events (
    id text primary key,
    source text not null,
    timestamp timestamptz not null,
    event_type text not null,
    payload jsonb not null,
    created_at timestamptz not null default now(),
    constraint events_event_type_known check (event_type in (
        'session', 'activity', 'tool', 'agent', 'summary', 'error',
        'agent_spawn', 'skill_invocation', 'token_usage', 'session_metrics', 'activity_pattern',
        'model_distribution', 'todo_progress', 'file_change', 'project_activity'
    ))
);

-- Events come about in the order of time, and only retention looks for them by it: a few kilobytes do for millions.
create index events_timestamp on public.events using brin (timestamp);

create table vibetea.hourly (
    hour timestamptz not null,
    source text not null,
    event_count bigint not null,
    primary key (hour, source)
);

-- The raw 32 bytes of an Ed25519 key in base64. A revoked source keeps its row, so that nobody adds it again unseen.
create table vibetea.source_keys (
    source text primary key,
    public_key text not null,
    added_at timestamptz not null default now(),
    revoked_at timestamptz,
    constraint source_keys_source_well_formed check (source ~ '^[A-Za-z0-9._-]{1,64}$'),
    constraint source_keys_public_key_canonical check (
        octet_length(decode(public_key, 'base64')) = 32 and encode(decode(public_key, 'base64'), 'base64') = public_key
    )
);

-- One row. What is older was deleted and is never taken again: its hour has counted it.
create table vibetea.retention (
    deleted_before timestamptz not null default '-infinity',
    only_row boolean primary key default true check (only_row)
);
insert into vibetea.retention default values;

-- No policy: whoever is neither the owner nor a `security definer` function of his sees no row, even if granted one.
alter table public.events enable row level security;
alter table public.events force row level security;
alter table vibetea.hourly enable row level security;
alter table vibetea.hourly force row level security;
alter table vibetea.source_keys enable row level security;
alter table vibetea.source_keys force row level security;
alter table vibetea.retention enable row level security;
alter table vibetea.retention force row level security;
revoke all on public.events, vibetea.hourly, vibetea.source_keys, vibetea.retention from public, anon, authenticated, service_role;
