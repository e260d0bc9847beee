{{/*
What only edges have: where they pull from, and the workload.
*/}}

{{/* The name of the origin release's objects. */}}
{{- define "edge.originName" -}}
{{- $origin := .Values.origin -}}
{{- $named := $origin.fullname -}}
{{- with $named }}{{ include "rillcast.shortened" . }}{{ else }}{{ include "rillcast.defaultFullname" (dict "release" $origin.release "chart" "origin") }}{{ end -}}
{{- end }}

{{- define "edge.originNamespace" -}}
{{- .Values.origin.namespace | default .Release.Namespace -}}
{{- end }}

{{- define "edge.originHost" -}}
{{ include "edge.originName" . }}-headless.{{ include "edge.originNamespace" . }}.svc.{{ .Values.clusterDomain }}
{{- end }}

{{/* upstream.origins, as JSON: the named ports of the origin's headless Service, as its pods name each other, or what is given. */}}
{{- define "edge.origins" -}}
{{- if and .Values.origin.release .Values.upstream.origins -}}
{{- fail "origin.release and upstream.origins: only one of the two can be" -}}
{{- else if .Values.origin.release -}}
{{- list (printf "_rtmp._tcp.%s" (include "edge.originHost" .)) | toJson -}}
{{- else if .Values.upstream.origins -}}
{{- toJson .Values.upstream.origins -}}
{{- else -}}
{{- fail "an edge needs an origin: set origin.release to the name of a release of the origin chart, or upstream.origins to a list such as [\"origin.example:1935\"]" -}}
{{- end -}}
{{- end }}

{{/* The Secret with the cluster's key; empty if there is none. */}}
{{- define "edge.keySecret" -}}
{{- if .Values.cluster.existingSecret -}}
{{- .Values.cluster.existingSecret -}}
{{- else if .Values.origin.release -}}
{{- if ne (include "edge.originNamespace" .) .Release.Namespace -}}
{{- fail (printf "cluster.existingSecret: the origin is in another namespace, whose Secrets cannot be used here; copy the key: kubectl get secret -n %s %s-cluster -o jsonpath='{.data.key}' | base64 -d | kubectl create secret generic -n %s %s-cluster --from-file=key=/dev/stdin, and name that Secret" (include "edge.originNamespace" .) (include "edge.originName" .) .Release.Namespace (include "edge.originName" .)) -}}
{{- end -}}
{{- include "edge.originName" . }}-cluster
{{- end -}}
{{- end }}

{{/* The Secret of keys that the release of the origin made. */}}
{{- define "edge.authSecretName" -}}
{{- if not .Values.origin.release -}}
{{- fail "auth.existingSecret: required for auth.keys, unless auth.generate makes them or origin.release has them" -}}
{{- end -}}
{{- if ne (include "edge.originNamespace" .) .Release.Namespace -}}
{{- fail (printf "auth.existingSecret: the origin is in another namespace, whose Secrets cannot be used here; copy the keys of the Secret %s-auth there into one here, and name that" (include "edge.originName" .)) -}}
{{- end -}}
{{- include "edge.originName" . }}-auth
{{- end }}

{{/* The section [upstream] that the chart sets, as JSON. */}}
{{- define "edge.upstream" -}}
{{- $upstream := dict "origins" (include "edge.origins" . | fromJsonArray) -}}
{{- $tls := .Values.origin.tls -}}
{{- if $tls.enabled -}}
{{- $_ := set $upstream "tls" true -}}
{{- $_ := set $upstream "http_port" (int $tls.httpsPort) -}}
{{- if .Values.origin.release }}{{ $_ := set $upstream "rtmps_port" (int $tls.rtmpsPort) }}{{ end -}}
{{- if $tls.caSecret }}{{ $_ := set $upstream "ca_file" "/run/secrets/rillcast-upstream/ca.crt" }}{{ end -}}
{{- with $tls.serverName }}{{ $_ := set $upstream "server_name" . }}{{ end -}}
{{- else if .Values.origin.release -}}
{{- $_ := set $upstream "http_port" (int .Values.origin.httpPort) -}}
{{- end -}}
{{- if .Values.shield.enabled -}}
{{- $_ := set $upstream "shield" (printf "%s.%s.svc.%s.:%d" (include "rillcast.headlessName" .) .Release.Namespace .Values.clusterDomain (int .Values.ports.rtmp)) -}}
{{- end -}}
{{- toJson $upstream -}}
{{- end }}

{{- define "edge.configMap" -}}
{{- $sections := dict "upstream" (include "edge.upstream" . | fromJson) -}}
{{- if include "edge.keySecret" . -}}
{{- $_ := set $sections "cluster" (dict "key_file" "/run/secrets/rillcast/cluster-key") -}}
{{- end -}}
{{- if hasKey (.Values.config.upstream | default dict) "origins" }}{{ fail "config.upstream.origins: set upstream.origins instead, which the NetworkPolicy follows" }}{{ end -}}
{{- include "rillcast.configMap" (dict "root" . "sections" $sections) -}}
{{- end }}

{{/* The authority of the origins' certificates: its volume, and where that is mounted. */}}
{{- define "edge.volumes" -}}
{{- with .Values.origin.tls }}
{{- if and .enabled .caSecret }}
- name: upstream-ca
  secret:
    secretName: {{ .caSecret }}
    items:
      - { key: {{ .caKey | quote }}, path: ca.crt }
{{- end }}
{{- end }}
{{- end }}

{{- define "edge.mounts" -}}
{{- if and .Values.origin.tls.enabled .Values.origin.tls.caSecret }}
- name: upstream-ca
  mountPath: /run/secrets/rillcast-upstream
  readOnly: true
{{- end }}
{{- end }}

{{/*
How many pods the live Deployment has, if the manifest of the revision before this one said a number: to leave it out now would
make it 1. Empty if there was none, which an annotation of the Deployment tells: then it is left to what scales, rollbacks included.
*/}}
{{- define "edge.liveReplicas" -}}
{{- $live := lookup "apps/v1" "Deployment" .Release.Namespace (include "rillcast.fullname" .) | default dict -}}
{{- if not (dig "metadata" "annotations" "rillcast-replicas" "" $live) -}}
{{- dig "spec" "replicas" "" $live -}}
{{- end -}}
{{- end }}

{{/* A Deployment or DaemonSet. Takes a dict: root, track, name, tag, replicas. */}}
{{- define "edge.workload" -}}
{{- $values := .root.Values -}}
{{- $pod := dict "root" .root "track" .track "tag" .tag "config" (include "edge.configMap" .root | fromYaml).data "keySecret" (include "edge.keySecret" .root) "keySecretKey" $values.cluster.existingSecretKey "volumes" (include "edge.volumes" .root | fromYamlArray) "mounts" (include "edge.mounts" .root | fromYamlArray) -}}
{{- $isDaemonSet := eq $values.kind "DaemonSet" -}}
{{- $hasNodePorts := or $values.hostPorts.enabled $values.hostNetwork -}}
{{- $isScaled := and (or $values.autoscaling.enabled $values.keda.enabled) (eq .track "stable") -}}
{{- $liveReplicas := $isScaled | ternary (include "edge.liveReplicas" .root) "" -}}
{{- $annotations := and $isScaled (not $liveReplicas) | ternary (dict "rillcast-replicas" "scaled") dict -}}
apiVersion: apps/v1
kind: {{ $values.kind }}
metadata:
  {{- include "rillcast.metadata" (dict "root" .root "name" .name "labels" (dict "track" .track) "annotations" $annotations) | nindent 2 }}
spec:
  {{- if $isDaemonSet }}
  updateStrategy:
    type: RollingUpdate
    rollingUpdate:
      {{- if $hasNodePorts }}
      # Two pods cannot have the same port of a node.
      maxSurge: 0
      maxUnavailable: 1
      {{- else }}
      maxSurge: 1
      maxUnavailable: 0
      {{- end }}
  {{- else }}
  {{- if not $isScaled }}
  replicas: {{ .replicas }}
  {{- else if $liveReplicas }}
  replicas: {{ $liveReplicas }}
  {{- end }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      {{- if $hasNodePorts }}
      # Two pods cannot have the same port of a node.
      maxSurge: 0
      maxUnavailable: {{ eq (toString $values.rollingUpdate.maxUnavailable) "0" | ternary 1 $values.rollingUpdate.maxUnavailable }}
      {{- else }}
      maxSurge: {{ $values.rollingUpdate.maxSurge }}
      maxUnavailable: {{ $values.rollingUpdate.maxUnavailable }}
      {{- end }}
  # Longer than an old pod takes to end, whose place a new one may need.
  progressDeadlineSeconds: {{ max 600 (add 300 (int64 (include "rillcast.gracePeriod" .root))) }}
  {{- end }}
  minReadySeconds: {{ $values.minReadySeconds }}
  revisionHistoryLimit: {{ $values.revisionHistoryLimit }}
  selector:
    matchLabels:
      {{- include "rillcast.trackLabels" . | nindent 6 }}
  template:
    {{- include "rillcast.podTemplate" $pod | nindent 4 }}
{{- end }}

{{/* The ports that origins are connected to, as JSON: unique, in the order of their numbers. */}}
{{- define "edge.upstreamPorts" -}}
{{- $upstream := mergeOverwrite (include "edge.upstream" . | fromJson) (deepCopy (.Values.config.upstream | default dict)) -}}
{{- $ports := list -}}
{{- if and $upstream.tls $upstream.rtmps_port -}}
{{- /* Whatever ports they are written with. */ -}}
{{- $ports = append $ports (int $upstream.rtmps_port) -}}
{{- else -}}
{{- if .Values.origin.release -}}
{{- $ports = append $ports (int .Values.origin.rtmpPort) -}}
{{- end -}}
{{- range concat .Values.upstream.origins ($upstream.backup_origins | default list) -}}
{{- if hasPrefix "_" . -}}
{{- $ports = append $ports (int $.Values.origin.rtmpPort) -}}
{{- else if regexMatch ":[0-9]+$" . -}}
{{- $ports = append $ports (int (regexFind "[0-9]+$" .)) -}}
{{- else -}}
{{- $ports = append $ports 1935 -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if or (eq ($upstream.protocol | default "rtmp") "http-flv") (dig "hls" "enabled" true .Values.config) -}}
{{- $ports = append $ports (int ($upstream.http_port | default .Values.origin.httpPort)) -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end }}

{{- define "edge.networkPolicy" -}}
{{- $media := list -}}
{{- range include "rillcast.mediaPorts" . | fromJsonArray }}{{ $media = append $media (dict "port" . "protocol" "TCP") }}{{ end -}}
{{- $clients := dict "ports" $media -}}
{{- if .Values.networkPolicy.clientsFrom -}}
{{- /* The tier's own edges and the test are clients, too. */ -}}
{{- $own := dict "podSelector" (dict "matchLabels" (dict "app.kubernetes.io/name" "rillcast" "app.kubernetes.io/instance" .Release.Name)) -}}
{{- $_ := set $clients "from" (concat (append .Values.networkPolicy.clientsFrom $own) (include "rillcast.nodePeers" . | fromJsonArray)) -}}
{{- end -}}
{{- $ports := list -}}
{{- range include "edge.upstreamPorts" . | fromJsonArray }}{{ $ports = append $ports (dict "port" (int .) "protocol" "TCP") }}{{ end -}}
{{- $origins := dict "ports" $ports -}}
{{- $backups := dig "upstream" "backup_origins" list .Values.config -}}
{{- if and .Values.origin.release (not $backups) -}}
{{- $namespace := dict "matchLabels" (dict "kubernetes.io/metadata.name" (include "edge.originNamespace" .)) -}}
{{- $pods := dict "matchLabels" (dict "app.kubernetes.io/name" "rillcast" "app.kubernetes.io/component" "origin" "app.kubernetes.io/instance" .Values.origin.release) -}}
{{- $_ := set $origins "to" (list (dict "namespaceSelector" $namespace "podSelector" $pods)) -}}
{{- end -}}
{{- $egress := list $origins -}}
{{- $nodes := include "rillcast.nodePeers" . | fromJsonArray -}}
{{- if and $nodes $origins.to -}}
{{- $egress = append $egress (dict "to" $nodes "ports" $ports) -}}
{{- end -}}
{{- if .Values.shield.enabled -}}
{{- $tier := dict "podSelector" (dict "matchLabels" (include "rillcast.selectorLabels" . | fromYaml)) -}}
{{- $egress = append $egress (dict "to" (list $tier) "ports" (list (dict "port" "rtmp" "protocol" "TCP"))) -}}
{{- with $nodes -}}
{{- /* The name of a port means nothing where no pod is selected. */ -}}
{{- $egress = append $egress (dict "to" . "ports" (list (dict "port" (int $.Values.ports.rtmp) "protocol" "TCP"))) -}}
{{- end -}}
{{- end -}}
{{- include "rillcast.networkPolicy" (dict "root" . "ingress" (list $clients) "egress" $egress) -}}
{{- end }}

{{/* Where the test publishes; empty if that is nowhere to be known. */}}
{{- define "edge.testOrigin" -}}
{{- if .Values.origin.release -}}
{{- include "edge.originHost" . }}:{{ .Values.origin.rtmpPort }}
{{- else -}}
{{- $hosts := list -}}
{{- range .Values.upstream.origins }}{{ if not (hasPrefix "_" .) }}{{ $hosts = append $hosts . }}{{ end }}{{ end -}}
{{- first $hosts -}}
{{- end -}}
{{- end }}
