{{/*
The configuration: a map of sections becomes TOML, whatever the sections are called; the program itself knows them.
*/}}

{{/* A value as TOML. */}}
{{- define "rillcast.toml.value" -}}
{{- if kindIs "string" . -}}
{{- toJson . -}}
{{- else if kindIs "bool" . -}}
{{- printf "%t" . -}}
{{- else if or (kindIs "float64" .) (kindIs "int64" .) (kindIs "int" .) -}}
{{- /* Numbers of values are floats: whole ones are written without a fraction. */ -}}
{{- if eq (float64 (int64 .)) (float64 .) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- else if kindIs "slice" . -}}
{{- $items := list -}}
{{- range . }}{{ $items = append $items (include "rillcast.toml.value" .) }}{{ end -}}
{{- printf "[%s]" (join ", " $items) -}}
{{- else if kindIs "map" . -}}
{{- $items := list -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $items = append $items (printf "%s = %s" (include "rillcast.toml.key" $key) (include "rillcast.toml.value" $value)) -}}
{{- end -}}
{{- end -}}
{{- printf "{ %s }" (join ", " $items) -}}
{{- else -}}
{{- fail (printf "config: %v cannot be written as TOML" .) -}}
{{- end -}}
{{- end }}

{{- define "rillcast.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . -}}{{ . }}{{- else -}}{{ toJson . }}{{- end -}}
{{- end }}

{{/* The keys of one section, a line each. */}}
{{- define "rillcast.toml.keys" -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) }}
{{ include "rillcast.toml.key" $key }} = {{ include "rillcast.toml.value" $value }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "rillcast.toml" -}}
{{- range $name, $section := omit . "apps" }}
{{- if not (kindIs "invalid" $section) }}
{{- if not (kindIs "map" $section) }}{{ fail (printf "config.%s: a section is a map of its keys" $name) }}{{ end }}
[{{ include "rillcast.toml.key" $name }}]
{{- include "rillcast.toml.keys" $section }}
{{ end }}
{{- end }}
{{- range .apps }}
[[apps]]
{{- include "rillcast.toml.keys" . }}
{{ end }}
{{- end }}

{{/* Refuses what does not belong into `config`: secrets, and what the chart sets from other values. */}}
{{- define "rillcast.checkConfig" -}}
{{- range $name, $section := .Values.config -}}
{{- if kindIs "map" $section -}}
{{- range $key, $value := $section -}}
{{- if and $value (regexMatch "^(key|secret|token|password|.*_(auth|key|secret|token|password))$" $key) -}}
{{- fail (printf "config.%s.%s: a secret must not stand in a ConfigMap; put a TOML fragment with it into a Secret and name that in extraConfig" $name $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range list "rtmp" "http" "admin" -}}
{{- if hasKey (index $.Values.config . | default dict) "listen" -}}
{{- fail (printf "config.%s.listen: set ports.%s instead, which Services and probes follow" . .) -}}
{{- end -}}
{{- if hasKey (index $.Values.config . | default dict) "tls_listen" -}}
{{- fail (printf "config.%s.tls_listen: set tls.secret instead, which Services follow" .) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* What the chart sets by itself, below `config`; .sections are those of the role. As YAML. */}}
{{- define "rillcast.config" -}}
{{- $root := .root -}}
{{- include "rillcast.checkConfig" $root -}}
{{- $base := dict "log" (dict "format" "json") -}}
{{- range list "rtmp" "http" "admin" -}}
{{- $_ := set $base . (dict "listen" (printf ":%d" (int (index $root.Values.ports .)))) -}}
{{- end -}}
{{- $_ := set $base.admin "edit_auth_file" "/run/secrets/rillcast-admin/edit_auth" -}}
{{- $_ := set $base.admin "view_auth_file" "/run/secrets/rillcast-admin/view_auth" -}}
{{- if $root.Values.tls.secret -}}
{{- $_ := set $base.rtmp "tls_listen" (printf ":%d" (int $root.Values.ports.rtmps)) -}}
{{- $_ := set $base.http "tls_listen" (printf ":%d" (int $root.Values.ports.https)) -}}
{{- $_ := set $base "tls" (dict "certificates" (list "/run/secrets/rillcast-tls")) -}}
{{- end -}}
{{- with $root.Values.trustedProxies -}}
{{- $_ := set $base "net" (dict "trusted_proxies" .) -}}
{{- end -}}
{{- toYaml (mergeOverwrite $base (deepCopy .sections) (deepCopy $root.Values.config)) -}}
{{- end }}

{{- define "rillcast.configMap" -}}
{{- $config := include "rillcast.config" . | fromYaml -}}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "rillcast.metadata" (dict "root" .root "name" (include "rillcast.fullname" .root)) | nindent 2 }}
data:
  10-chart.toml: |
    # Made by the chart from its values; conf/{{ include "rillcast.role" .root }}.toml of the sources explains every key.
    {{- include "rillcast.toml" $config | nindent 4 }}
{{- end }}

{{/* Whole seconds of a duration as the configuration has it, rounded up. */}}
{{- define "rillcast.seconds" -}}
{{- $text := toString . -}}
{{- if not (regexMatch "^(0|[0-9]+(ms|s|m|h))$" $text) -}}
{{- fail (printf "%q is no duration such as \"90s\"" $text) -}}
{{- end -}}
{{- $number := int64 (regexFind "^[0-9]+" $text) -}}
{{- if hasSuffix "ms" $text -}}{{ div (add $number 999) 1000 -}}
{{- else if hasSuffix "m" $text -}}{{ mul $number 60 -}}
{{- else if hasSuffix "h" $text -}}{{ mul $number 3600 -}}
{{- else -}}{{ $number }}{{- end -}}
{{- end }}

{{/* How long a pod may take to end: drain.hard_timeout and five seconds more (docs/operations.md). */}}
{{- define "rillcast.gracePeriod" -}}
{{- $drain := .Values.config.drain | default dict -}}
{{- $hard := "90s" -}}
{{- if hasKey $drain "hard_timeout" }}{{ $hard = $drain.hard_timeout }}{{ end -}}
{{- add (int64 (include "rillcast.seconds" $hard)) 5 -}}
{{- end }}
