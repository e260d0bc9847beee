{{/*
Names and labels. A chart's name is its role: "origin" or "edge".
*/}}

{{- define "rillcast.role" -}}
{{- .Chart.Name -}}
{{- end }}

{{/* The name that an installation of `chart` as `release` has where nothing overrides it. */}}
{{- define "rillcast.defaultFullname" -}}
{{- $name := ternary .release (printf "%s-%s" .release .chart) (contains .chart .release) -}}
{{- include "rillcast.shortened" $name -}}
{{- end }}

{{/* As long as all names made of it stay valid. */}}
{{- define "rillcast.shortened" -}}
{{- . | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "rillcast.fullname" -}}
{{- $name := include "rillcast.defaultFullname" (dict "release" .Release.Name "chart" .Chart.Name) -}}
{{- with .Values.fullnameOverride }}{{ $name = include "rillcast.shortened" . }}{{ end -}}
{{- if not (regexMatch "^[a-z]" $name) -}}
{{- fail (printf "fullnameOverride: Services would be called %q, and their names begin with a letter; set another name, or call the release otherwise" $name) -}}
{{- end -}}
{{- $name -}}
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

{{/* Labels by which pods are selected are not for others to set. Takes a dict: name, of the value, and labels. */}}
{{- define "rillcast.checkLabels" -}}
{{- $name := .name -}}
{{- range $key, $_ := .labels -}}
{{- if has $key (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "track") -}}
{{- fail (printf "%s: %s is a label by which Services select; it cannot be set" $name $key) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The labels of an object. Takes a dict: root; labels, those that only it has. */}}
{{- define "rillcast.labels" -}}
{{- include "rillcast.checkLabels" (dict "name" "commonLabels" "labels" .root.Values.commonLabels) -}}
{{- $chart := .root.Chart -}}
{{- $own := dict
  "app.kubernetes.io/version" $chart.AppVersion
  "app.kubernetes.io/part-of" "rillcast"
  "app.kubernetes.io/managed-by" .root.Release.Service
  "helm.sh/chart" (printf "%s-%s" $chart.Name $chart.Version | replace "+" "_") -}}
{{- $selected := include "rillcast.selectorLabels" .root | fromYaml -}}
{{- toYaml (merge $selected (.labels | default dict) .root.Values.commonLabels $own) -}}
{{- end }}

{{/* Name, namespace, labels: the head of every object. */}}
{{- define "rillcast.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "rillcast.labels" . | nindent 2 }}
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

{{/*
The tag of the stable workload, if it has been promoted to the canary's. What is promoted has to be the canary, and nothing else may be
said of the tag: or what was promoted once would decide silently about the next canary, and about the next image.tag.
*/}}
{{- define "rillcast.stableTag" -}}
{{- $canary := .Values.canary -}}
{{- $tag := .Values.image.tag -}}
{{- with $canary.promote -}}
{{- if and (ne . $canary.tag) (or $canary.tag (ne . $tag)) -}}
{{- fail (printf "canary.promote is %q, which is not the canary's tag %q. If it has been promoted, it is the image's tag from now on: set image.tag=%s and canary.promote=\"\"" . $canary.tag .) -}}
{{- end -}}
{{- if and $tag (ne . $tag) -}}
{{- fail (printf "canary.promote is %q, and image.tag %q: set image.tag=%s to promote it; or, to leave it for another tag, canary.promote=\"\" and canary.tag=\"\"" . $tag .) -}}
{{- end -}}
{{- . -}}
{{- end -}}
{{- end }}

{{/* "true" while there is a canary beside the stable workload. */}}
{{- define "rillcast.hasCanary" -}}
{{- if and .Values.canary.tag (ne .Values.canary.tag .Values.canary.promote) -}}true{{- end -}}
{{- end }}
