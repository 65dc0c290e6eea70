package alerts

// examples of each rule of configs/telemetry/alerts.yaml.
var examples = []example{
	{alert: "SluiceDown", when: "no answer for three minutes", series: mine("up", "1 1 0x5"), at: "6m", fires: one()},
	{alert: "SluiceDown", when: "a restart", series: mine("up", "1 1 0 1x5"), at: "6m"},

	{alert: "SluiceSilent", when: "nothing has come for eight minutes", series: map[string]string{with("sluice_start_time_seconds", sent): "7x12 _x20"}, at: "20m", fires: two()[1:]},
	{alert: "SluiceSilent", when: "it sends", series: both("sluice_start_time_seconds", "7x40"), at: "20m"},
	{alert: "SluiceSilent", when: "it is scraped, which SluiceDown watches", series: mine("sluice_start_time_seconds", "7x12 _x20", "up", "1x12 0x20"), at: "20m"},
	{alert: "SluiceSilent", when: "it was taken out long ago", series: map[string]string{with("sluice_start_time_seconds", sent): "7x12 _x50"}, at: "40m"},

	{alert: "SluiceClusterUnreachable", when: "two gateways don't reach it", series: both(`sluice_cluster_reachable{cluster="prod"}`, "1 0x5", `sluice_cluster_reachable{cluster="dr"}`, "1x6"), at: "4m", fires: two("cluster", "prod")},
	{alert: "SluiceClusterUnreachable", when: "for a moment", series: mine(`sluice_cluster_reachable{cluster="prod"}`, "1 0 1x5"), at: "4m"},

	{alert: "SluiceConfigRefused", when: "a change was refused", series: mine("sluice_config_last_reload_successful", "0x5", "sluice_config_last_reload_time_seconds", "100x5"), at: "3m", fires: one()},
	{alert: "SluiceConfigRefused", when: "the change was applied", series: mine("sluice_config_last_reload_successful", "1x5", "sluice_config_last_reload_time_seconds", "100x5"), at: "3m"},

	{alert: "SluiceRevisionsDiffer", when: "two gateways stay different", series: map[string]string{with(`sluice_config_info{revision="a"}`, scraped): "1x20", with(`sluice_config_info{revision="b"}`, sent): "1x20"}, at: "15m", fires: []map[string]string{{}}},
	{alert: "SluiceRevisionsDiffer", when: "an edit over OTLP, where the revision before it is seen for five minutes more", series: map[string]string{with(`sluice_config_info{revision="a"}`, sent): "1x5 _x20", with(`sluice_config_info{revision="b"}`, sent): "_x5 1x20"}, at: "11m"},

	{alert: "SluiceMoveStuck", when: "eleven minutes", series: both(`sluice_move_open_age_seconds{virtual_cluster="vc",blocked_by="lag"}`, "0+60x20", `sluice_move_open_age_seconds{virtual_cluster="vc",blocked_by="none"}`, "0x20"), at: "11m", fires: two("virtual_cluster", "vc", "blocked_by", "lag")},
	{alert: "SluiceMoveStuck", when: "five minutes", series: mine(`sluice_move_open_age_seconds{virtual_cluster="vc",blocked_by="lag"}`, "0+60x20"), at: "5m"},

	{alert: "SluiceMovePossibleLoss", when: "not acknowledged", series: mine(`sluice_move_possible_loss{virtual_cluster="vc"}`, "0 73x5"), at: "3m", fires: one("virtual_cluster", "vc")},
	{alert: "SluiceMovePossibleLoss", when: "acknowledged", series: mine(`sluice_move_possible_loss{virtual_cluster="vc"}`, "73 73 0x5"), at: "3m"},

	{alert: "SluiceFailoverBlocked", when: "topics lag behind, on the only other cluster", series: both(
		`sluice_failover_topics{virtual_cluster="vc",home="prod",cluster="dr",reason="ready"}`, "298x30",
		`sluice_failover_topics{virtual_cluster="vc",home="prod",cluster="dr",reason="lag"}`, "2x30"), at: "20m", fires: two("virtual_cluster", "vc", "home", "prod")},
	{alert: "SluiceFailoverBlocked", when: "one of two clusters would do for all", series: mine(
		`sluice_failover_topics{virtual_cluster="vc",home="prod",cluster="dr",reason="ready"}`, "300x30",
		`sluice_failover_topics{virtual_cluster="vc",home="prod",cluster="dr",reason="copy"}`, "0x30",
		`sluice_failover_topics{virtual_cluster="vc",home="prod",cluster="far",reason="copy"}`, "300x30"), at: "20m"},
	{alert: "SluiceFailoverBlocked", when: "the home is down: its topics can leave it, though not without loss", series: mine(
		`sluice_failover_topics{virtual_cluster="vc",home="prod",cluster="dr",reason="unplanned"}`, "300x30",
		`sluice_failover_topics{virtual_cluster="vc",home="prod",cluster="dr",reason="lag"}`, "0x30"), at: "20m"},

	{alert: "SluiceRequestsHeld", when: "for minutes", series: mine(`sluice_held_oldest_age_seconds{virtual_cluster="vc"}`, "0 12 14 11 13"), at: "3m", fires: one("virtual_cluster", "vc")},
	{alert: "SluiceRequestsHeld", when: "in a move", series: mine(`sluice_held_oldest_age_seconds{virtual_cluster="vc"}`, "0 2 0x5"), at: "3m"},

	{alert: "SluiceErrorsHigh", when: "one in ten", series: both(`sluice_errors_total{virtual_cluster="vc",api="Produce",error="A"}`, "0+6x30", `sluice_requests_total{virtual_cluster="vc",api="Produce"}`, "0+60x30"), at: "15m", fires: two("virtual_cluster", "vc")},
	{alert: "SluiceErrorsHigh", when: "one in a hundred", series: mine(`sluice_errors_total{virtual_cluster="vc",api="Produce",error="A"}`, "0+6x30", `sluice_requests_total{virtual_cluster="vc",api="Produce"}`, "0+600x30"), at: "15m"},

	{alert: "SluiceLatencyHigh", when: "produces take two to four seconds", series: both(
		`sluice_request_duration_seconds_bucket{virtual_cluster="vc",api="Produce",le="2"}`, "0x30",
		`sluice_request_duration_seconds_bucket{virtual_cluster="vc",api="Produce",le="4"}`, "0+60x30",
		`sluice_request_duration_seconds_bucket{virtual_cluster="vc",api="Produce",le="+Inf"}`, "0+60x30"), at: "15m", fires: two("virtual_cluster", "vc")},
	{alert: "SluiceLatencyHigh", when: "produces are fast, and fetches wait for records", series: mine(
		`sluice_request_duration_seconds_bucket{virtual_cluster="vc",api="Produce",le="0.5"}`, "0+60x30",
		`sluice_request_duration_seconds_bucket{virtual_cluster="vc",api="Produce",le="+Inf"}`, "0+60x30",
		`sluice_request_duration_seconds_bucket{virtual_cluster="vc",api="Fetch",le="0.5"}`, "0x30",
		`sluice_request_duration_seconds_bucket{virtual_cluster="vc",api="Fetch",le="+Inf"}`, "0+60x30"), at: "15m"},

	{alert: "SluiceRequestMemoryHigh", when: "answers take their three quarters", series: mine("sluice_request_memory_bytes", "190000x10", "sluice_request_memory_limit_bytes", "262144x10"), at: "8m", fires: one()},
	{alert: "SluiceRequestMemoryHigh", when: "requests wait, though scrapes find little", series: mine("sluice_request_memory_bytes", "10x10", "sluice_request_memory_limit_bytes", "262144x10", "sluice_request_memory_waits_total", "0+7x10"), at: "8m", fires: one()},
	{alert: "SluiceRequestMemoryHigh", when: "little", series: mine("sluice_request_memory_bytes", "190000 1000x10", "sluice_request_memory_limit_bytes", "262144x10", "sluice_request_memory_waits_total", "7x10", "sluice_request_memory_waiting", "0x10"), at: "8m"},
	{alert: "SluiceRequestMemoryHigh", when: "there is no limit", series: mine("sluice_request_memory_bytes", "190000x10", "sluice_request_memory_limit_bytes", "0x10"), at: "8m"},

	{alert: "SluiceGuestLeftAlone", when: "most of the time", series: mine(`sluice_guest_left_alone{virtual_cluster="vc",guest="mask"}`, "0 1 1 0 1 1 1 0 1 1 1"), at: "9m", fires: one("virtual_cluster", "vc", "guest", "mask")},
	{alert: "SluiceGuestLeftAlone", when: "once", series: mine(`sluice_guest_left_alone{virtual_cluster="vc",guest="mask"}`, "0 0 0 0 0 1 0x5"), at: "9m"},

	{alert: "SluiceGuestFailing", when: "one call in ten", series: mine(`sluice_guest_failures_total{virtual_cluster="vc",guest="mask"}`, "0+6x30", `sluice_guest_calls_total{virtual_cluster="vc",guest="mask"}`, "0+60x30"), at: "15m", fires: one("virtual_cluster", "vc", "guest", "mask")},
	{alert: "SluiceGuestFailing", when: "one call in a thousand", series: mine(`sluice_guest_failures_total{virtual_cluster="vc",guest="mask"}`, "0+6x30", `sluice_guest_calls_total{virtual_cluster="vc",guest="mask"}`, "0+6000x30"), at: "15m"},

	{alert: "SluiceInterceptorFailing", when: "one request in ten", series: both(`sluice_interceptor_failures_total{virtual_cluster="vc",interceptor="routing"}`, "0+6x30", `sluice_interceptor_duration_seconds_count{virtual_cluster="vc",interceptor="routing"}`, "0+60x30"), at: "15m", fires: two("virtual_cluster", "vc", "interceptor", "routing")},
	{alert: "SluiceInterceptorFailing", when: "none", series: mine(`sluice_interceptor_failures_total{virtual_cluster="vc",interceptor="routing"}`, "6x30", `sluice_interceptor_duration_seconds_count{virtual_cluster="vc",interceptor="routing"}`, "0+60x30"), at: "15m"},

	{alert: "SluiceCopyLags", when: "always", series: mine(`sluice_copy_lag{virtual_cluster="vc",topic="orders",partition="0",cluster="dr"}`, "20000x15"), at: "12m", fires: one("virtual_cluster", "vc", "topic", "orders", "partition", "0", "cluster", "dr")},
	{alert: "SluiceCopyLags", when: "it has caught up in between", series: mine(`sluice_copy_lag{virtual_cluster="vc",topic="orders",partition="0",cluster="dr"}`, "20000x8 0 20000x8"), at: "12m"},

	{alert: "SluiceCopyDiffers", when: "not compared for long", series: mine(`sluice_copy_compared_time_seconds{virtual_cluster="vc",topic="orders",cluster="dr"}`, "0x15"), at: "12m", fires: one("virtual_cluster", "vc", "topic", "orders", "cluster", "dr")},
	{alert: "SluiceCopyDiffers", when: "compared just now", series: mine(`sluice_copy_compared_time_seconds{virtual_cluster="vc",topic="orders",cluster="dr"}`, "0+60x15"), at: "12m"},

	{alert: "SluiceGroupLags", when: "it stands still", series: mine(`sluice_group_lag_age_seconds{virtual_cluster="vc",group="billing",topic="orders"}`, "0+60x40"), at: "25m", fires: one("virtual_cluster", "vc", "group", "billing", "topic", "orders")},
	{alert: "SluiceGroupLags", when: "it reads old records, and gets nearer", series: mine(`sluice_group_lag_age_seconds{virtual_cluster="vc",group="billing",topic="orders"}`, "1800-200x9 0x20"), at: "15m"},

	{alert: "SluiceGroupsWouldSkip", when: "the copy stands still", series: mine(`sluice_groups_skipped_age_seconds{virtual_cluster="vc",home="prod",cluster="dr"}`, "0+60x30"), at: "20m", fires: one("virtual_cluster", "vc", "home", "prod", "cluster", "dr")},
	{alert: "SluiceGroupsWouldSkip", when: "it lags, and catches up", series: mine(`sluice_groups_skipped_age_seconds{virtual_cluster="vc",home="prod",cluster="dr"}`, "0+60x12 0+60x12"), at: "20m"},

	{alert: "SluicePositionsNotMirrored", when: "for long", series: mine(`sluice_groups_repeated_age_seconds{virtual_cluster="vc",home="prod",cluster="dr"}`, "0+60x30"), at: "10m", fires: one("virtual_cluster", "vc", "home", "prod", "cluster", "dr")},
	{alert: "SluicePositionsNotMirrored", when: "for a minute", series: mine(`sluice_groups_repeated_age_seconds{virtual_cluster="vc",home="prod",cluster="dr"}`, "0 60 0x20"), at: "10m"},

	{alert: "SluiceFenceNotLifted", when: "the hook fails", series: mine(`sluice_fences{virtual_cluster="vc",cluster="dr",lift="true"}`, "1x10"), at: "8m", fires: one("virtual_cluster", "vc", "cluster", "dr", "lift", "true")},
	{alert: "SluiceFenceNotLifted", when: "the fence stands where it should", series: mine(`sluice_fences{virtual_cluster="vc",cluster="prod",lift="false"}`, "1x10"), at: "8m"},

	{alert: "SluiceAuditNotWritten", when: "entries wait", series: mine("sluice_audit_log_waiting_entries", "3x10"), at: "8m", fires: one()},
	{alert: "SluiceAuditNotWritten", when: "entries were dropped", series: mine("sluice_audit_log_waiting_entries", "0x10", "sluice_audit_log_dropped_entries_total", "0 0 5x10"), at: "8m", fires: one()},
	{alert: "SluiceAuditNotWritten", when: "they are written", series: mine("sluice_audit_log_waiting_entries", "3 0 3 0 3 0 3 0 3 0", "sluice_audit_log_dropped_entries_total", "5x10"), at: "8m"},

	{alert: "SluicePartBroken", when: "for six minutes", series: mine(`sluice_part_broken{virtual_cluster="vc",part="listen.tls"}`, "1x10"), at: "6m", fires: one("virtual_cluster", "vc", "part", "listen.tls")},
	{alert: "SluicePartBroken", when: "between the writes of two files", series: mine(`sluice_part_broken{virtual_cluster="vc",part="listen.tls"}`, "_ 1 _x10"), at: "8m"},

	{alert: "SluiceConnectionsRefused", when: "one was", series: mine(`sluice_sessions_refused_total{virtual_cluster="vc",reason="files"}`, "0 0 1x10"), at: "3m", fires: one("virtual_cluster", "vc", "reason", "files")},
	{alert: "SluiceConnectionsRefused", when: "a client without TLS", series: mine(`sluice_sessions_refused_total{virtual_cluster="vc",reason="handshake"}`, "0+1x20"), at: "12m"},
	{alert: "SluiceConnectionsRefused", when: "long ago", series: mine(`sluice_sessions_refused_total{virtual_cluster="vc",reason="files"}`, "0 0 1x20"), at: "12m"},

	{alert: "SluiceConnectionsNearLimit", when: "of a virtual cluster", series: both(`sluice_sessions{virtual_cluster="vc"}`, "90x20", `sluice_sessions_limit{virtual_cluster="vc"}`, "100x20"), at: "15m", fires: two("virtual_cluster", "vc")},
	{alert: "SluiceConnectionsNearLimit", when: "of the process", series: mine("sluice_connections", "90x20", "sluice_connections_limit", "100x20"), at: "15m", fires: one()},
	{alert: "SluiceConnectionsNearLimit", when: "there is no limit", series: mine(`sluice_sessions{virtual_cluster="vc"}`, "90x20", `sluice_sessions_limit{virtual_cluster="vc"}`, "0x20", "sluice_connections", "90x20", "sluice_connections_limit", "0x20"), at: "15m"},
	{alert: "SluiceFilesNearLimit", when: "nine in ten are open", series: mine("sluice_files", "900x20", "sluice_files_limit", "1000x20"), at: "15m", fires: one()},
	{alert: "SluiceFilesNearLimit", when: "two in ten are open", series: mine("sluice_files", "200x20", "sluice_files_limit", "1000x20"), at: "15m"},
	{alert: "SluiceFilesNearLimit", when: "it is not known", series: mine("sluice_connections", "90x20"), at: "15m"},

	{alert: "SluiceThrottled", when: "a quarter of the time", series: both(`sluice_upstream_throttle_seconds_total{cluster="prod",api="Produce"}`, "0+15x30"), at: "15m", fires: two("cluster", "prod")},
	{alert: "SluiceThrottled", when: "a little", series: mine(`sluice_upstream_throttle_seconds_total{cluster="prod",api="Produce"}`, "0+1x30"), at: "15m"},

	{alert: "SluiceCertificateExpires", when: "in ten days", series: mine(`sluice_certificate_expiry_time_seconds{virtual_cluster="vc"}`, "864000x20"), at: "15m", fires: one("virtual_cluster", "vc")},
	{alert: "SluiceCertificateExpires", when: "in a month", series: mine(`sluice_certificate_expiry_time_seconds{virtual_cluster="vc"}`, "2592000x20"), at: "15m"},

	{alert: "SluiceCertificateExpiresSoon", when: "in a day", series: mine(`sluice_certificate_expiry_time_seconds{virtual_cluster="vc"}`, "86400x20"), at: "15m", fires: one("virtual_cluster", "vc")},
	{alert: "SluiceCertificateExpiresSoon", when: "in ten days", series: mine(`sluice_certificate_expiry_time_seconds{virtual_cluster="vc"}`, "864000x20"), at: "15m"},

	{alert: "SluiceTracesLost", when: "all the time", series: mine("sluice_traces_dropped_spans_total", "0+10x30"), at: "15m", fires: one()},
	{alert: "SluiceTracesLost", when: "some, when the receiver was started again", series: mine("sluice_traces_dropped_spans_total", "0 0 10x30"), at: "15m"},

	{alert: "SluicePanicked", when: "once", series: mine("sluice_panics_total", "0 0 1x30"), at: "15m", fires: one()},
	{alert: "SluicePanicked", when: "never", series: mine("sluice_panics_total", "0x30"), at: "15m"},
}
