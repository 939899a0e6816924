-- The contract: the table has the declared columns with the declared types, and no others.
-- Views: this, declared (no rows). Parquet knows no lists of fixed size: their sizes are not compared.
WITH made AS (
    SELECT column_name, regexp_replace(column_type, '\[\d+\]', '[]') AS column_type FROM (DESCRIBE this)
),
wanted AS (
    SELECT column_name, regexp_replace(column_type, '\[\d+\]', '[]') AS column_type FROM (DESCRIBE declared)
),
compared AS (
    SELECT
        coalesce(made.column_name, wanted.column_name) AS column_name,
        made.column_type IS NOT DISTINCT FROM wanted.column_type AS same,
        made.column_type AS made_type,
        wanted.column_type AS wanted_type
    FROM made
    FULL JOIN wanted ON made.column_name = wanted.column_name
)
SELECT
    bool_and(same) AS passed,
    count(*) AS columns,
    coalesce(
        string_agg(column_name || ' is ' || coalesce(made_type, 'missing') || ', not ' || coalesce(wanted_type, 'declared'), '; ')
            FILTER (WHERE NOT same),
        ''
    ) AS differences
FROM compared
