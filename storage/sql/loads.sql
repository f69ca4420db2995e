-- name: heavy
-- Transformers by their hours of heavy load. Apparent power from current and voltage of the three
-- phases; active power, which is never more, where a device reports no currents.
WITH unit AS (
    SELECT d.id, u.name, u.rated
    FROM unnest(%(devices)s::text[], %(rated)s::float8[]) AS u(name, rated)
    JOIN device d ON d.name = u.name
),
load AS (
    SELECT u.name, h.time, COALESCE(
        abs(h.mean_i_a) * h.mean_v_a + abs(h.mean_i_b) * h.mean_v_b + abs(h.mean_i_c) * h.mean_v_c,
        abs(h.mean_p)
    ) / u.rated AS share
    FROM unit u JOIN reading_hour h ON h.device = u.id
    WHERE h.realm = %(realm)s AND h.time >= %(low)s AND h.time < %(high)s
)
SELECT name, max(share), (array_agg(time ORDER BY share DESC))[1],
    count(*) FILTER (WHERE share >= %(heavy)s), count(*) FILTER (WHERE share > %(over)s)
FROM load WHERE share IS NOT NULL
GROUP BY name HAVING count(*) FILTER (WHERE share >= %(heavy)s) >= %(hours)s
ORDER BY max(share) DESC, name
