-- Means over texts, as extracted and of those that are kept, of statistics that say how well a text is formed.
-- Millionths are added up, so that the order of rows does not decide the last digit.
-- Views: verdicts, signals, languages.
WITH measured AS (
    SELECT verdict = 'kept' AS kept, name, value
    FROM (
        UNPIVOT (
            SELECT
                verdict,
                line_punct_ratio::DOUBLE AS line_punct_ratio,
                alpha_word_ratio::DOUBLE AS alpha_word_ratio,
                dup_5_gram::DOUBLE AS dup_5_gram,
                dup_line_frac::DOUBLE AS dup_line_frac,
                language_score::DOUBLE AS language_score
            FROM verdicts
            JOIN signals USING (doc)
            JOIN languages USING (doc)
            WHERE station IS DISTINCT FROM 'acquisition'
        )
        ON line_punct_ratio, alpha_word_ratio, dup_5_gram, dup_line_frac, language_score
        INTO NAME name VALUE value
    )
)
SELECT
    name,
    count(*) AS texts,
    sum(round(value * 1e6)::BIGINT)::BIGINT AS texts_millionths,
    count(*) FILTER (WHERE kept) AS kept,
    coalesce(sum(round(value * 1e6)::BIGINT) FILTER (WHERE kept), 0)::BIGINT AS kept_millionths
FROM measured
WHERE isfinite(value)
GROUP BY name
ORDER BY name
