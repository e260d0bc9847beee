{{/*
Services: one for clients, headless ones for servers and for Prometheus. The admin port is on none that clients use.
*/}}

{{/* The names of the pod's ports for publishers and players, as JSON. */}}
{{- define "rillcast.mediaPorts" -}}
{{- if .Values.tls.secret }}["rtmp", "http", "rtmps", "https"]{{ else }}["rtmp", "http"]{{ end -}}
{{- end }}

{{/* The Service of clients, or one for each protocol. .ports is a dict of a port's name and its values. */}}
{{- define "rillcast.clientServices" -}}
{{- $service := .root.Values.service -}}
{{- $ports := dict -}}
{{- range $name, $port := .ports }}{{ if $port.enabled }}{{ $_ := set $ports $name $port }}{{ end }}{{ end -}}
{{- $fullname := include "rillcast.fullname" .root -}}
{{- if and $service.enabled (not $ports) }}
{{- fail "service.enabled: a Service needs a port; set service.rtmp.enabled or service.http.enabled, or service.enabled=false" }}
{{- end }}
{{- if and $service.enabled $service.split }}
{{- range $name, $port := $ports }}
---
{{ include "rillcast.clientService" (dict "root" $.root "name" (printf "%s-%s" $fullname $name) "ports" (dict $name $port)) }}
{{- end }}
{{- else if $service.enabled }}
---
{{ include "rillcast.clientService" (dict "root" .root "name" $fullname "ports" $ports) }}
{{- end }}
{{- end }}

{{- define "rillcast.clientService" -}}
{{- $service := .root.Values.service -}}
{{- $annotations := deepCopy $service.annotations -}}
{{- range .ports }}{{ $annotations = merge $annotations .annotations }}{{ end -}}
{{- $ingress := .root.Values.ingress -}}
{{- if and $ingress.enabled (eq $ingress.controller "traefik") $ingress.serviceUpstream -}}
{{- $annotations = merge $annotations (dict "traefik.ingress.kubernetes.io/service.nativelb" "true") -}}
{{- end -}}
{{- $external := has $service.type (list "LoadBalancer" "NodePort") -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "rillcast.metadata" (dict "root" .root "name" .name "annotations" $annotations) | nindent 2 }}
spec:
  type: {{ $service.type }}
  {{- if $external }}
  externalTrafficPolicy: {{ $service.externalTrafficPolicy }}
  {{- end }}
  internalTrafficPolicy: {{ $service.internalTrafficPolicy }}
  {{- with $service.ipFamilyPolicy }}
  ipFamilyPolicy: {{ . }}
  {{- end }}
  {{- if eq $service.type "LoadBalancer" }}
  {{- with $service.loadBalancerClass }}
  loadBalancerClass: {{ . }}
  {{- end }}
  {{- with $service.loadBalancerIP }}
  loadBalancerIP: {{ . }}
  {{- end }}
  {{- with $service.loadBalancerSourceRanges }}
  loadBalancerSourceRanges:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  selector:
    {{- include "rillcast.selectorLabels" .root | nindent 4 }}
  ports:
    {{- range $name, $port := .ports }}
    - name: {{ $name }}
      port: {{ $port.port }}
      targetPort: {{ $name }}
      {{- if and $external $port.nodePort }}
      nodePort: {{ $port.nodePort }}
      {{- end }}
      protocol: TCP
    {{- end }}
{{- end }}

{{/* Every ready pod by its address; SRV records for its named ports. */}}
{{- define "rillcast.headlessService" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "rillcast.metadata" (dict "root" . "name" (include "rillcast.headlessName" .)) | nindent 2 }}
spec:
  type: ClusterIP
  clusterIP: None
  selector:
    {{- include "rillcast.selectorLabels" . | nindent 4 }}
  ports:
    {{- range include "rillcast.mediaPorts" . | fromJsonArray }}
    - name: {{ . }}
      port: {{ index $.Values.ports . }}
      targetPort: {{ . }}
      protocol: TCP
    {{- end }}
{{- end }}

{{/* For a ServiceMonitor: pods that are not ready are watched, too. */}}
{{- define "rillcast.metricsService" -}}
{{- if .Values.metrics.serviceMonitor.enabled }}
apiVersion: v1
kind: Service
metadata:
  {{- include "rillcast.metadata" (dict "root" . "name" (printf "%s-metrics" (include "rillcast.fullname" .)) "labels" (dict "rillcast-metrics" "true")) | nindent 2 }}
spec:
  type: ClusterIP
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    {{- include "rillcast.selectorLabels" . | nindent 4 }}
  ports:
    - name: admin
      port: {{ .Values.ports.admin }}
      targetPort: admin
      protocol: TCP
{{- end }}
{{- end }}
