{{/*
Who may what: the service account, disruptions, the network.
*/}}

{{- define "rillcast.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "rillcast.metadata" (dict "root" . "name" (include "rillcast.serviceAccountName" .) "annotations" .Values.serviceAccount.annotations) | nindent 2 }}
# The program never talks to the API server.
automountServiceAccountToken: false
{{- end }}
{{- end }}

{{/* None for a DaemonSet: what it may do without is told by the scale subresource, which it has none of. */}}
{{- define "rillcast.podDisruptionBudget" -}}
{{- if and .Values.podDisruptionBudget.enabled (ne (default "" .Values.kind) "DaemonSet") }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "rillcast.metadata" (dict "root" . "name" (include "rillcast.fullname" .)) | nindent 2 }}
spec:
  maxUnavailable: {{ .Values.podDisruptionBudget.maxUnavailable }}
  unhealthyPodEvictionPolicy: {{ .Values.podDisruptionBudget.unhealthyPodEvictionPolicy }}
  selector:
    matchLabels:
      {{- include "rillcast.selectorLabels" . | nindent 6 }}
{{- end }}
{{- end }}

{{/* Nodes as peers of a NetworkPolicy, in JSON: pods on the host's network come from their node's address. */}}
{{- define "rillcast.nodePeers" -}}
{{- $peers := list -}}
{{- range .Values.networkPolicy.nodes }}{{ $peers = append $peers (dict "ipBlock" (dict "cidr" .)) }}{{ end -}}
{{- toJson $peers -}}
{{- end }}

{{/* .ingress and .egress are the rules of the role, those for DNS and the admin port left out. */}}
{{- define "rillcast.networkPolicy" -}}
{{- $values := .root.Values -}}
{{- if $values.networkPolicy.enabled }}
{{- $admins := $values.networkPolicy.adminFrom -}}
{{- if or $values.metrics.serviceMonitor.enabled $values.metrics.podMonitor.enabled -}}
{{- $prometheus := dict "namespaceSelector" (dict "matchLabels" (dict "kubernetes.io/metadata.name" $values.metrics.prometheusNamespace)) -}}
{{- $admins = append $admins $prometheus -}}
{{- end -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "rillcast.metadata" (dict "root" .root "name" (include "rillcast.fullname" .root)) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "rillcast.selectorLabels" .root | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    {{- toYaml .ingress | nindent 4 }}
    {{- with $admins }}
    - from:
        {{- toYaml . | nindent 8 }}
      ports:
        - { port: admin, protocol: TCP }
    {{- end }}
    {{- with $values.networkPolicy.extraIngress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  egress:
    # DNS, wherever it is: a Service, or a cache on the node.
    - ports:
        - { port: 53, protocol: UDP }
        - { port: 53, protocol: TCP }
    {{- with .egress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with include "rillcast.hookPorts" .root | fromJsonArray }}
    # Hooks and callbacks, wherever they are.
    - ports:
        {{- range . }}
        - { port: {{ int . }}, protocol: TCP }
        {{- end }}
    {{- end }}
    {{- with $values.networkPolicy.extraEgress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
{{- end }}

{{- define "rillcast.extraObjects" -}}
{{- range .Values.extraObjects }}
---
{{ tpl (ternary . (toYaml .) (kindIs "string" .)) $ }}
{{- end }}
{{- end }}
