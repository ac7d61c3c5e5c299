-- For PostgreSQL, and sites with so many payments that their steps (paywall_paymentevent, the
-- largest table) should not stay among those of today. The payments and receipts themselves stay:
-- they are the books.
--
--     psql "$DATABASE_URL" -f archive.sql                                     once
--     psql "$DATABASE_URL" -c "CALL paywall_archive_events('12 months')"      once a month
--
-- It moves the steps of payments that are final and older than that into a table with a partition a
-- month. A partition can be dumped, and dropped, by itself:
--
--     pg_dump "$DATABASE_URL" -t paywall_event_archive_2025_03 > 2025-03.sql
--     psql "$DATABASE_URL" -c "DROP TABLE paywall_event_archive_2025_03"

CREATE TABLE IF NOT EXISTS paywall_event_archive (LIKE paywall_paymentevent)
    PARTITION BY RANGE (at);

CREATE OR REPLACE PROCEDURE paywall_archive_events(older_than interval)
LANGUAGE plpgsql AS $$
DECLARE
    first_month timestamptz;
    month timestamptz;
    last timestamptz := date_trunc('month', now() - older_than);
BEGIN
    SELECT date_trunc('month', min(created_at)) INTO first_month FROM paywall_payment;
    month := first_month;
    WHILE month < last LOOP
        -- A payment's steps may be younger than itself, by a month or more: each has its own place.
        CREATE TEMPORARY TABLE moved ON COMMIT DROP AS
            WITH gone AS (
                DELETE FROM paywall_paymentevent e USING paywall_payment p
                WHERE p.id = e.payment_id
                  AND p.created_at >= month AND p.created_at < month + interval '1 month'
                  AND p.state IN ('confirmed', 'failed', 'lost')
                  AND e.at < last
                RETURNING e.*
            ) SELECT * FROM gone;
        PERFORM paywall_archive_month(found.at_month)
            FROM (SELECT DISTINCT date_trunc('month', at) AS at_month FROM moved) found;
        INSERT INTO paywall_event_archive SELECT * FROM moved;
        COMMIT;  -- a month at a time: what is moved stays moved
        month := month + interval '1 month';
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION paywall_archive_month(month timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE TABLE IF NOT EXISTS %I PARTITION OF paywall_event_archive FOR VALUES FROM (%L) TO (%L)',
        'paywall_event_archive_' || to_char(month, 'YYYY_MM'), month, month + interval '1 month'
    );
END $$;
