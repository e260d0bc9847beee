{{/*
What the Prometheus operator and Grafana take. Series are told apart by namespace and by labels of the pods, which the monitors
have the operator add: names of pods begin alike where releases are called alike.
*/}}

{{/* The labels of pods that become labels of their series. */}}
{{- define "rillcast.podTargetLabels" -}}
[app.kubernetes.io/instance, app.kubernetes.io/component, track]
{{- end }}

{{- define "rillcast.serviceMonitor" -}}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled }}
{{- fail "metrics.serviceMonitor.enabled and metrics.podMonitor.enabled: only one of the two can be, or every pod is asked and counted twice" }}
{{- end }}
{{- with .Values.metrics.serviceMonitor }}
{{- if .enabled }}
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  {{- include "rillcast.metadata" (dict "root" $ "name" (include "rillcast.fullname" $) "labels" .labels) | nindent 2 }}
spec:
  selector:
    matchLabels:
      {{- include "rillcast.selectorLabels" $ | nindent 6 }}
      rillcast-metrics: "true"
  podTargetLabels: {{ include "rillcast.podTargetLabels" $ }}
  endpoints:
    - port: admin
      path: /metrics
      interval: {{ .interval }}
{{- end }}
{{- end }}
{{- end }}

{{- define "rillcast.podMonitor" -}}
{{- with .Values.metrics.podMonitor }}
{{- if .enabled }}
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  {{- include "rillcast.metadata" (dict "root" $ "name" (include "rillcast.fullname" $) "labels" .labels) | nindent 2 }}
spec:
  selector:
    matchLabels:
      {{- include "rillcast.selectorLabels" $ | nindent 6 }}
  podTargetLabels: {{ include "rillcast.podTargetLabels" $ }}
  podMetricsEndpoints:
    - port: admin
      path: /metrics
      interval: {{ .interval }}
{{- end }}
{{- end }}
{{- end }}

{{/* The series of this installation's pods. */}}
{{- define "rillcast.series" -}}
namespace="{{ .Release.Namespace }}", app_kubernetes_io_instance="{{ .Release.Name }}", app_kubernetes_io_component="{{ include "rillcast.role" . }}"
{{- end }}

{{- define "rillcast.prometheusRule" -}}
{{- if .Values.metrics.prometheusRule.enabled }}
{{- $series := include "rillcast.series" . -}}
{{- $fullname := include "rillcast.fullname" . -}}
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  {{- include "rillcast.metadata" (dict "root" . "name" $fullname "labels" .Values.metrics.prometheusRule.labels) | nindent 2 }}
spec:
  groups:
    - name: {{ .Release.Namespace }}-{{ $fullname }}
      rules:
        - alert: RillcastGone
          expr: absent(rillcast_streams{ {{- $series -}} })
          for: 5m
          labels: { severity: critical }
          annotations:
            summary: "No {{ include "rillcast.role" . }} of {{ $fullname }} tells its metrics"
        - alert: RillcastPlayersRefused
          expr: sum by (namespace, limit) (rate(rillcast_refused_players_total{ {{- $series -}} }[5m])) > 0
          for: 5m
          labels: { severity: warning }
          annotations:
            summary: "{{ $fullname }} refuses players for want of {{ `{{ $labels.limit }}` }}; add replicas or raise the limit"
        - alert: RillcastConnectionsRefused
          expr: sum by (namespace) (rate(rillcast_connections_total{ {{- $series -}} , result="refused"}[5m])) > 0
          for: 5m
          labels: { severity: warning }
          annotations:
            summary: "{{ $fullname }} refuses connections: limits.max_connections or that of an address is reached"
        - alert: RillcastFirstFrameSlow
          expr: histogram_quantile(0.95, sum by (namespace, le) (rate(rillcast_first_frame_seconds_bucket{ {{- $series -}} }[10m]))) > 2
          for: 10m
          labels: { severity: warning }
          annotations:
            summary: "Of the players of {{ $fullname }} one in twenty waits longer than 2 s for its first picture"
        - alert: RillcastRingsFull
          expr: sum by (namespace) (rate(rillcast_disconnects_total{ {{- $series -}} , reason="ring_budget"}[5m])) > 0
          labels: { severity: critical }
          annotations:
            summary: "{{ $fullname }} refuses publishers: limits.ring_bytes is used up"
        - alert: RillcastMarksRefused
          expr: sum by (namespace, result) (rate(rillcast_marks_total{ {{- $series -}} , result=~"wrong|old|replayed|malformed"}[5m])) > 0
          for: 10m
          labels: { severity: warning }
          annotations:
            summary: "{{ $fullname }} refuses servers that call themselves its own ({{ `{{ $labels.result }}` }}): look at cluster.key and at the clocks"
        - alert: RillcastConfigurationRefused
          expr: min by (namespace, pod) (rillcast_config_last_reload_successful{ {{- $series -}} }) == 0
          for: 1m
          labels: { severity: warning }
          annotations:
            summary: "{{ `{{ $labels.pod }}` }} goes on with its former configuration: the new one is not valid; GET /api/v1/config says why"
        - alert: RillcastCertificateExpires
          expr: >-
            min by (namespace, pod) (rillcast_tls_certificate_expiry_timestamp_seconds{ {{- $series -}} } > 0)
            < time() + 7 * 86400
          for: 1h
          labels: { severity: warning }
          annotations:
            summary: "A certificate of {{ `{{ $labels.pod }}` }} expires within a week, or has"
        - alert: RillcastHooksFail
          expr: sum by (namespace, hook) (rate(rillcast_hooks_total{ {{- $series -}} , result=~"failed|dropped"}[5m])) > 0
          for: 5m
          labels: { severity: warning }
          annotations:
            summary: "{{ `{{ $labels.hook }}` }} of {{ $fullname }} is not answered"
        - alert: RillcastPacketsDropped
          expr: >-
            sum by (namespace) (rate(rillcast_dropped_packets_total{ {{- $series -}} }[5m]))
            > 100 * sum by (namespace) (rillcast_streams{ {{- $series -}} })
          for: 15m
          labels: { severity: warning }
          annotations:
            summary: "Many players of {{ $fullname }} are too slow for their streams"
        - alert: RillcastDrainStuck
          expr: max by (namespace, pod) (rillcast_draining{ {{- $series -}} }) == 1
          for: {{ add 5 (div (int64 (include "rillcast.gracePeriod" .)) 60) }}m
          labels: { severity: warning }
          annotations:
            summary: "{{ `{{ $labels.pod }}` }} drains for longer than it takes to end"
        {{- if eq (include "rillcast.role" .) "edge" }}
        - alert: RillcastUpstreamUnstable
          expr: sum by (namespace, reason) (rate(rillcast_upstream_reconnects_total{ {{- $series -}} , reason!~"moved|ended|kicked"}[5m])) > 0.1
          for: 10m
          labels: { severity: warning }
          annotations:
            summary: "{{ $fullname }} loses its origins again and again ({{ `{{ $labels.reason }}` }})"
        {{- else }}
        - alert: RillcastStreamConflicts
          expr: sum by (namespace) (increase(rillcast_stream_conflicts_total{ {{- $series -}} }[15m])) > 0
          labels: { severity: warning }
          annotations:
            summary: "Publishers of {{ $fullname }} compete for the same names"
        - alert: RillcastRecordingFails
          expr: sum by (namespace, reason) (increase(rillcast_dvr_errors_total{ {{- $series -}} }[10m])) > 0
          labels: { severity: critical }
          annotations:
            summary: "{{ $fullname }} cannot record ({{ `{{ $labels.reason }}` }})"
        - alert: RillcastSegmentsNotWritten
          expr: sum by (namespace, reason) (increase(rillcast_hls_disk_errors_total{ {{- $series -}} }[10m])) > 0
          labels: { severity: warning }
          annotations:
            summary: "{{ $fullname }} cannot write files of HLS ({{ `{{ $labels.reason }}` }})"
        {{- end }}
        - alert: RillcastNamesUnresolved
          expr: sum by (namespace) (rate(rillcast_dns_lookups_total{ {{- $series -}} , result="failed"}[5m])) > 0
          for: 10m
          labels: { severity: warning }
          annotations:
            summary: "{{ $fullname }} gets no answers from DNS"
        {{- with .Values.metrics.prometheusRule.extraRules }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end }}
{{- end }}

{{- define "rillcast.dashboard" -}}
{{- if .Values.metrics.dashboard.enabled }}
{{- $fullname := include "rillcast.fullname" . -}}
{{- $series := include "rillcast.series" . -}}
{{- $panels := list
  (list "Players" "short" (printf "sum by (protocol) (rillcast_players{%s})" $series) "{{protocol}}")
  (list "Streams and publishers" "short" (printf "sum(rillcast_streams{%s})" $series) "streams" (printf "sum(rillcast_publishers{%s})" $series) "publishers")
  (list "Sent" "bps" (printf "8 * sum by (pod) (rate(rillcast_egress_bytes_total{%s}[1m]))" $series) "{{pod}}")
  (list "Received" "bps" (printf "8 * sum by (pod) (rate(rillcast_ingress_bytes_total{%s}[1m]))" $series) "{{pod}}")
  (list "First frame, 99 %" "s" (printf "histogram_quantile(0.99, sum by (le) (rate(rillcast_first_frame_seconds_bucket{%s}[5m])))" $series) "p99")
  (list "Merge window" "s" (printf "max by (pod) (rillcast_merge_window_seconds{%s})" $series) "{{pod}}")
  (list "Disconnects by reason" "cps" (printf "sum by (reason) (rate(rillcast_disconnects_total{%s}[1m]))" $series) "{{reason}}")
  (list "Refused and skipped" "cps" (printf "sum(rate(rillcast_refused_players_total{%s}[1m]))" $series) "players refused" (printf "sum(rate(rillcast_dropped_packets_total{%s}[1m]))" $series) "packets skipped")
  (list "Upstream" "short" (printf "sum(rillcast_upstream_pulls{%s})" $series) "pulls" (printf "sum(rillcast_forwards{%s})" $series) "forwards")
  (list "Upstream lost, by reason" "cps" (printf "sum by (reason) (rate(rillcast_upstream_reconnects_total{%s}[1m]))" $series) "{{reason}}")
  (list "Memory of rings" "bytes" (printf "sum by (pod) (rillcast_ring_bytes{%s})" $series) "{{pod}}")
  (list "Draining" "short" (printf "sum(rillcast_draining{%s})" $series) "pods")
  (list "Open connections" "short" (printf "sum by (pod) (rillcast_open_connections{%s})" $series) "{{pod}}")
  (list "HLS requests" "reqps" (printf "sum by (file, result) (rate(rillcast_hls_requests_total{%s}[1m]))" $series) "{{file}} {{result}}")
  (list "HLS memory" "bytes" (printf "sum by (pod) (rillcast_hls_memory_bytes{%s})" $series) "{{pod}} packaged" (printf "sum by (pod) (rillcast_hls_cache_bytes{%s})" $series) "{{pod}} fetched")
-}}
{{- if eq (include "rillcast.role" .) "edge" -}}
{{- $panels = append $panels
  (list "Players for each pull" "short" (printf "sum(rillcast_players{%s}) / sum(rillcast_upstream_pulls{%s})" $series $series) "players / pulls")
-}}
{{- else -}}
{{- $panels = concat $panels (list
  (list "Recordings" "short" (printf "sum by (pod) (rillcast_dvr_recordings{%s})" $series) "{{pod}} being written" (printf "sum by (reason) (rate(rillcast_dvr_errors_total{%s}[5m]))" $series) "errors: {{reason}}")
  (list "Origins that see each other" "short" (printf "min by (pod) (rillcast_peers{%s})" $series) "{{pod}} peers" (printf "sum by (pod) (rillcast_leases{%s})" $series) "{{pod}} names held elsewhere"))
-}}
{{- end -}}
{{- $drawn := list -}}
{{- range $index, $panel := $panels -}}
{{- $targets := list (dict "refId" "A" "expr" (index $panel 2) "legendFormat" (index $panel 3)) -}}
{{- if gt (len $panel) 4 -}}
{{- $targets = append $targets (dict "refId" "B" "expr" (index $panel 4) "legendFormat" (index $panel 5)) -}}
{{- end -}}
{{- $place := dict "x" (mul 12 (mod $index 2)) "y" (mul 8 (div $index 2)) "w" 12 "h" 8 -}}
{{- $drawn = append $drawn (dict
  "id" (add1 $index) "type" "timeseries" "title" (index $panel 0) "gridPos" $place "targets" $targets
  "datasource" (dict "type" "prometheus" "uid" "${datasource}")
  "fieldConfig" (dict "defaults" (dict "unit" (index $panel 1) "min" 0) "overrides" list)) -}}
{{- end -}}
{{- $source := dict "name" "datasource" "type" "datasource" "query" "prometheus" "label" "Prometheus" -}}
{{- $board := dict
  "title" (printf "Rillcast %s %s/%s" (include "rillcast.role" .) .Release.Namespace $fullname)
  "uid" (printf "%s/%s" .Release.Namespace $fullname | sha256sum | trunc 40)
  "tags" (list "rillcast") "schemaVersion" 39 "refresh" "30s" "time" (dict "from" "now-1h" "to" "now")
  "templating" (dict "list" (list $source)) "panels" $drawn -}}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "rillcast.metadata" (dict "root" . "name" (printf "%s-dashboard" $fullname) "labels" .Values.metrics.dashboard.labels "annotations" .Values.metrics.dashboard.annotations) | nindent 2 }}
data:
  {{ $fullname }}.json: {{ toPrettyJson $board | quote }}
{{- end }}
{{- end }}
