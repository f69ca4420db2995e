-- Five-minute and hourly summaries, recomputed from `reading` for every hour that was touched.
-- Energy registers only grow, so their first and last value say all; n counts the values.

CREATE TABLE reading_5min (
    realm smallint NOT NULL,
    device integer NOT NULL,
    time timestamptz NOT NULL,
    samples integer NOT NULL,
    min_v_a real, max_v_a real, mean_v_a real, n_v_a integer,
    min_v_b real, max_v_b real, mean_v_b real, n_v_b integer,
    min_v_c real, max_v_c real, mean_v_c real, n_v_c integer,
    min_v_n real, max_v_n real, mean_v_n real, n_v_n integer,
    min_i_a real, max_i_a real, mean_i_a real, n_i_a integer,
    min_i_b real, max_i_b real, mean_i_b real, n_i_b integer,
    min_i_c real, max_i_c real, mean_i_c real, n_i_c integer,
    min_i_n real, max_i_n real, mean_i_n real, n_i_n integer,
    min_i_residual real, max_i_residual real, mean_i_residual real, n_i_residual integer,
    min_p_a real, max_p_a real, mean_p_a real, n_p_a integer,
    min_p_b real, max_p_b real, mean_p_b real, n_p_b integer,
    min_p_c real, max_p_c real, mean_p_c real, n_p_c integer,
    min_p real, max_p real, mean_p real, n_p integer,
    min_q real, max_q real, mean_q real, n_q integer,
    min_pf real, max_pf real, mean_pf real, n_pf integer,
    min_f real, max_f real, mean_f real, n_f integer,
    first_e_import double precision, last_e_import double precision, n_e_import integer,
    first_e_export double precision, last_e_export double precision, n_e_export integer,
    min_t_terminal real, max_t_terminal real, mean_t_terminal real, n_t_terminal integer,
    min_t_oil real, max_t_oil real, mean_t_oil real, n_t_oil integer,
    min_t_winding real, max_t_winding real, mean_t_winding real, n_t_winding integer,
    min_t_ambient real, max_t_ambient real, mean_t_ambient real, n_t_ambient integer,
    min_thd_v real, max_thd_v real, mean_thd_v real, n_thd_v integer,
    min_sags real, max_sags real, mean_sags real, n_sags integer,
    min_power_downs real, max_power_downs real, mean_power_downs real, n_power_downs integer,
    min_v_a_min real, max_v_a_min real, mean_v_a_min real, n_v_a_min integer,
    min_v_b_min real, max_v_b_min real, mean_v_b_min real, n_v_b_min integer,
    min_v_c_min real, max_v_c_min real, mean_v_c_min real, n_v_c_min integer,
    PRIMARY KEY (realm, device, time)
);
SELECT create_hypertable(
    'reading_5min', by_range('time', INTERVAL '7 days'), create_default_indexes => false
);

CREATE TABLE reading_hour (
    realm smallint NOT NULL,
    device integer NOT NULL,
    time timestamptz NOT NULL,
    samples integer NOT NULL,
    min_v_a real, max_v_a real, mean_v_a real, n_v_a integer,
    min_v_b real, max_v_b real, mean_v_b real, n_v_b integer,
    min_v_c real, max_v_c real, mean_v_c real, n_v_c integer,
    min_v_n real, max_v_n real, mean_v_n real, n_v_n integer,
    min_i_a real, max_i_a real, mean_i_a real, n_i_a integer,
    min_i_b real, max_i_b real, mean_i_b real, n_i_b integer,
    min_i_c real, max_i_c real, mean_i_c real, n_i_c integer,
    min_i_n real, max_i_n real, mean_i_n real, n_i_n integer,
    min_i_residual real, max_i_residual real, mean_i_residual real, n_i_residual integer,
    min_p_a real, max_p_a real, mean_p_a real, n_p_a integer,
    min_p_b real, max_p_b real, mean_p_b real, n_p_b integer,
    min_p_c real, max_p_c real, mean_p_c real, n_p_c integer,
    min_p real, max_p real, mean_p real, n_p integer,
    min_q real, max_q real, mean_q real, n_q integer,
    min_pf real, max_pf real, mean_pf real, n_pf integer,
    min_f real, max_f real, mean_f real, n_f integer,
    first_e_import double precision, last_e_import double precision, n_e_import integer,
    first_e_export double precision, last_e_export double precision, n_e_export integer,
    min_t_terminal real, max_t_terminal real, mean_t_terminal real, n_t_terminal integer,
    min_t_oil real, max_t_oil real, mean_t_oil real, n_t_oil integer,
    min_t_winding real, max_t_winding real, mean_t_winding real, n_t_winding integer,
    min_t_ambient real, max_t_ambient real, mean_t_ambient real, n_t_ambient integer,
    min_thd_v real, max_thd_v real, mean_thd_v real, n_thd_v integer,
    min_sags real, max_sags real, mean_sags real, n_sags integer,
    min_power_downs real, max_power_downs real, mean_power_downs real, n_power_downs integer,
    min_v_a_min real, max_v_a_min real, mean_v_a_min real, n_v_a_min integer,
    min_v_b_min real, max_v_b_min real, mean_v_b_min real, n_v_b_min integer,
    min_v_c_min real, max_v_c_min real, mean_v_c_min real, n_v_c_min integer,
    PRIMARY KEY (realm, device, time)
);
SELECT create_hypertable(
    'reading_hour', by_range('time', INTERVAL '90 days'), create_default_indexes => false
);

-- Hours whose readings changed since their summary was made. One row stands for 64 devices (keys
-- 64 * block to 64 * block + 63): marking costs next to nothing, summing 64 devices again little.
-- `quantities` has a bit for each quantity that came (bit i: the i-th of the vocabulary): of 28 a
-- meter reports a dozen, and summing up only those is more than twice as fast.
CREATE TABLE dirty_bucket (
    realm smallint NOT NULL,
    block integer NOT NULL,
    hour timestamptz NOT NULL,
    quantities bigint NOT NULL,
    marked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (realm, block, hour)
) WITH (fillfactor = 50);
CREATE INDEX dirty_bucket_age ON dirty_bucket (marked_at);

-- Up to where retention has dropped raw readings: older hours are never summed up again, or a late
-- reading would replace the summary of the whole hour by itself.
CREATE TABLE retention (
    relation text PRIMARY KEY,
    dropped_before timestamptz NOT NULL
);
