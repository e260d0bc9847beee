{{/*
Names and labels. A chart's name is its role: "origin" or "edge".
*/}}

{{- define "rillcast.role" -}}
{{- .Chart.Name -}}
{{- end }}

{{/* The name that an installation of `chart` as `release` has where nothing overrides it. */}}
{{- define "rillcast.defaultFullname" -}}
{{- $name := ternary .release (printf "%s-%s" .release .chart) (contains .chart .release) -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "rillcast.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- include "rillcast.defaultFullname" (dict "release" .Release.Name "chart" .Chart.Name) -}}
{{- end -}}
{{- end }}

{{- define "rillcast.headlessName" -}}
{{- include "rillcast.fullname" . }}-headless
{{- end }}

{{- define "rillcast.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "rillcast.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end }}

{{/* What Services, budgets and policies select by. Never changes: selectors are immutable. */}}
{{- define "rillcast.selectorLabels" -}}
app.kubernetes.io/name: rillcast
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ include "rillcast.role" . }}
{{- end }}

{{- define "rillcast.labels" -}}
{{ include "rillcast.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: rillcast
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Name, namespace, labels: the head of every object. */}}
{{- define "rillcast.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "rillcast.labels" .root | nindent 2 }}
{{- with .labels }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The image of a tag; a digest is the stable workload's, and wins over its tag. */}}
{{- define "rillcast.image" -}}
{{- $image := .root.Values.image -}}
{{- $tag := .tag | default $image.tag | default .root.Chart.AppVersion -}}
{{- if and $image.digest (not .tag) -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository $tag -}}
{{- end -}}
{{- end }}

{{/* The tag of the stable workload, if it has been promoted to the canary's. */}}
{{- define "rillcast.stableTag" -}}
{{- if .Values.canary.promote -}}{{ .Values.canary.tag }}{{- end -}}
{{- end }}

{{/* "true" while there is a canary beside the stable workload. */}}
{{- define "rillcast.hasCanary" -}}
{{- if and .Values.canary.tag (not .Values.canary.promote) -}}true{{- end -}}
{{- end }}
